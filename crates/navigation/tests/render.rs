//! Images against ray casting in double precision, and what every image must be.

use batchscope_navigation::{Box3, CameraSettings, Mesh, RenderError, Renderer, View, reference};
use proptest::prelude::*;

/// Sides of the room of these tests, in meters.
const ROOM: [f32; 2] = [4.0, 5.0];
const HIGH: f32 = 2.5;

/// An upright box, turned about its middle.
#[derive(Debug, Clone)]
struct Piece {
    middle: [f32; 2],
    half: [f32; 2],
    bottom: f32,
    top: f32,
    turn: f32,
}

impl Piece {
    fn holds(&self, [x, y]: [f32; 2], margin: f32) -> bool {
        let (sin, cos) = self.turn.sin_cos();
        let [x, y] = [x - self.middle[0], y - self.middle[1]];
        (cos * x + sin * y).abs() < self.half[0] + margin
            && (cos * y - sin * x).abs() < self.half[1] + margin
    }

    fn add_to(&self, mesh: &mut Mesh) {
        let [x, y] = self.half;
        let mut upright = Mesh::default();
        let (low, high) = ([-x, -y, self.bottom], [x, y, self.top]);
        upright.add_box(Box3 { low, high }, true, true);
        let (sin, cos) = self.turn.sin_cos();
        let [x, y] = self.middle;
        for [a, b, z] in upright.triangles.as_flattened_mut() {
            [*a, *b, *z] = [x + cos * *a - sin * *b, y + sin * *a + cos * *b, *z];
        }
        mesh.add(&upright.triangles);
    }
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let turn = prop_oneof![Just(0.0f32), 0.0f32..6.3];
    let at = (0.0..ROOM[0], 0.0..ROOM[1]);
    let piece = (
        at,
        (0.01f32..0.6, 0.01f32..0.6),
        0.0f32..1.5,
        0.02f32..1.5,
        turn,
    );
    let piece = piece.prop_map(|(middle, half, bottom, high, turn)| Piece {
        middle: middle.into(),
        half: half.into(),
        bottom: if bottom < 0.7 { 0.0 } else { bottom },
        top: (bottom + high).min(HIGH),
        turn,
    });
    prop::collection::vec(piece, 0..12)
}

/// Cameras anywhere in the room, many of them close to a wall and many along an axis.
fn views() -> impl Strategy<Value = Vec<View>> {
    let within =
        |side: f32| prop_oneof![4 => 0.02..side - 0.02, 1 => Just(0.02f32), 1 => Just(side - 0.02)];
    let heading = prop_oneof![
        -7.0f32..7.0,
        (0u8..8).prop_map(|eighth| f32::from(eighth) * std::f32::consts::FRAC_PI_4)
    ];
    let view = (within(ROOM[0]), within(ROOM[1]), heading);
    let view = view.prop_map(|(x, y, heading)| View {
        scene: 0,
        position: [x, y],
        heading,
    });
    prop::collection::vec(view, 4)
}

/// Triangles anywhere, seen from anywhere.
fn strays() -> impl Strategy<Value = Vec<[[f32; 3]; 3]>> {
    let corner = prop::array::uniform3(-1.0f32..6.0);
    prop::collection::vec(prop::array::uniform3(corner), 0..6)
}

/// A closed room: its walls are the sides of boxes around it, with corners where the floor has none.
fn room() -> Mesh {
    let mut mesh = Mesh::default();
    let [x, y] = ROOM;
    mesh.add_level([-0.1, -0.1, x + 0.1, y + 0.1], 0.0, true);
    mesh.add_level([-0.1, -0.1, x / 3.0, y + 0.1], HIGH, false);
    mesh.add_level([x / 3.0, -0.1, x + 0.1, y + 0.1], HIGH, false);
    let walls = [
        [-0.1, -0.1, 0.0, y + 0.1],
        [x, -0.1, x + 0.1, y + 0.1],
        [0.0, -0.1, x / 7.0, 0.0],
        [x / 7.0, -0.1, x, 0.0],
        [0.0, y, x / 1.7, y + 0.1],
        [x / 1.7, y, x, y + 0.1],
    ];
    for [x0, y0, x1, y1] in walls {
        let (low, high) = ([x0, y0, 0.0], [x1, y1, HIGH]);
        mesh.add_box(Box3 { low, high }, false, false);
    }
    mesh
}

fn furnished(pieces: &[Piece], strays: &[[[f32; 3]; 3]]) -> Mesh {
    let mut mesh = room();
    for piece in pieces {
        piece.add_to(&mut mesh);
    }
    mesh.add(strays);
    mesh
}

fn draw(camera: CameraSettings, mesh: &Mesh, views: &[View]) -> Vec<f32> {
    let renderer = Renderer::new(camera, &[mesh]).expect("the scene is valid");
    let mut depth = vec![f32::NAN; views.len() * camera.pixels()];
    renderer
        .render(views, &mut depth)
        .expect("the views are valid");
    depth
}

/// How many pixels are not those of the ray through their center. They must be within
/// the depths of rays at most 0.04 pixels beside, give or take 1 %.
fn differing(
    camera: &CameraSettings,
    mesh: &Mesh,
    view: &View,
    image: &[f32],
) -> Result<usize, TestCaseError> {
    let n = camera.resolution;
    let mut differ = 0;
    for (i, (&found, &cast)) in image
        .iter()
        .zip(&reference::render(camera, mesh, view))
        .enumerate()
    {
        let found = f64::from(found);
        if (found - cast).abs() <= 1e-3 * cast {
            continue;
        }
        differ += 1;
        let [x, y] = [i % n, i / n].map(|at| at as f64 + 0.5);
        let offsets = (0..25).map(|k| [k % 5, k / 5].map(|at| (f64::from(at) - 2.0) * 0.02));
        let beside = offsets.map(|[a, b]| reference::cast(camera, mesh, view, x + a, y + b));
        let (low, high) = beside.fold((cast, cast), |(low, high), x| (low.min(x), high.max(x)));
        prop_assert!(
            found >= low * 0.99 && found <= high * 1.01,
            "pixel {x}, {y} is {found}, but rays give {cast}, and beside it {low} to {high}"
        );
    }
    Ok(differ)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn images_are_those_of_rays(pieces in pieces(), strays in strays(), views in views()) {
        let mesh = furnished(&pieces, &strays);
        let camera = CameraSettings::default();
        let images = draw(camera, &mesh, &views);
        for (view, image) in views.iter().zip(images.chunks(camera.pixels())) {
            if pieces.iter().any(|piece| piece.holds(view.position, 0.01)) {
                continue;
            }
            let differ = differing(&camera, &mesh, view, image)?;
            prop_assert!(differ < camera.pixels() / 100, "{differ} pixels differ");
        }
    }

    #[test]
    fn other_cameras_see_the_same(
        pieces in pieces(),
        views in views(),
        eighths in 1usize..17,
        field_of_view in 0.5f32..2.4,
        eye_height in 0.05f32..2.4,
        limit in 0.5f32..8.0,
    ) {
        let mesh = furnished(&pieces, &[]);
        let camera = CameraSettings { resolution: 8 * eighths, field_of_view, eye_height, limit };
        let view = &views[0];
        prop_assume!(!pieces.iter().any(|piece| piece.holds(view.position, 0.01)));
        differing(&camera, &mesh, view, &draw(camera, &mesh, &[*view]))?;
    }

    #[test]
    fn a_closed_room_has_no_holes(views in views()) {
        let camera = CameraSettings { resolution: 128, ..CameraSettings::default() };
        let farthest = draw(camera, &room(), &views).into_iter().fold(0.0, f32::max);
        prop_assert!(farthest < 6.5, "a pixel at {farthest} m");
    }

    #[test]
    fn depths_are_numbers_up_to_the_limit(
        triangles in prop::collection::vec(prop::array::uniform3(prop::array::uniform3(corner())), 0..40),
        (x, y, heading) in (corner(), corner(), -1e9f32..1e9),
    ) {
        let mut mesh = Mesh::default();
        mesh.add(&triangles);
        let camera = CameraSettings { resolution: 32, ..CameraSettings::default() };
        let views = [View { scene: 0, position: [x, y], heading }];
        for depth in draw(camera, &mesh, &views) {
            prop_assert!((0.0..=camera.limit).contains(&depth), "{depth}");
        }
    }
}

/// Coordinates of all sizes, many of them equal.
fn corner() -> impl Strategy<Value = f32> {
    prop_oneof![
        Just(0.0f32),
        Just(1.25f32),
        -3.0f32..3.0,
        -1e-6f32..1e-6,
        -1e5f32..1e5
    ]
}

#[test]
fn nothing_is_as_far_as_the_limit() {
    let views = [View::default()];
    let camera = CameraSettings {
        limit: 7.3,
        ..CameraSettings::default()
    };
    assert!(
        draw(camera, &Mesh::default(), &views)
            .iter()
            .all(|&depth| depth == 7.3)
    );
}

#[test]
fn rows_run_down_and_columns_to_the_right() {
    let mut mesh = Mesh::default();
    // Left of a camera that looks along x, and above its eye.
    let (low, high) = ([2.0, 0.5, 1.5], [2.5, 1.5, 3.0]);
    mesh.add_box(Box3 { low, high }, true, true);
    let image = draw(CameraSettings::default(), &mesh, &[View::default()]);
    let seen = |row: usize, column: usize| image[row * 64 + column] < 10.0;
    assert!(seen(16, 12) && !seen(16, 51) && !seen(47, 12) && !seen(47, 51));
}

#[test]
fn threads_do_not_change_a_bit() {
    let pieces: Vec<Piece> = (0..20u16)
        .map(|i| Piece {
            middle: [f32::from(i * 37 % 40) / 10.0, f32::from(i * 11 % 50) / 10.0],
            half: [0.1 + f32::from(i % 3) * 0.05, 0.15],
            bottom: 0.0,
            top: 0.3 + f32::from(i) * 0.1,
            turn: f32::from(i),
        })
        .collect();
    let mesh = furnished(&pieces, &[]);
    let view = |i: u16| View {
        scene: 0,
        position: [
            0.1 + f32::from(i % 38) / 10.0,
            0.1 + f32::from(i % 48) / 10.0,
        ],
        heading: f32::from(i),
    };
    let views: Vec<View> = (0..200).map(view).collect();
    let drawn = [1, 2, 5].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let images = pool
            .expect("threads start")
            .install(|| draw(CameraSettings::default(), &mesh, &views));
        images.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    });
    assert!(drawn[0] == drawn[1] && drawn[0] == drawn[2]);
}

#[test]
fn views_see_their_own_scenes() {
    let [mut near, mut far] = [Mesh::default(), Mesh::default()];
    for (mesh, x) in [(&mut near, 1.0), (&mut far, 3.0)] {
        let (low, high) = ([x, -9.0, -9.0], [x + 1.0, 9.0, 9.0]);
        mesh.add_box(Box3 { low, high }, false, false);
    }
    let camera = CameraSettings::default();
    let renderer = Renderer::new(camera, &[&near, &far]).unwrap();
    let views = [1, 0].map(|scene| View {
        scene,
        ..View::default()
    });
    let mut depth = vec![0.0; 2 * camera.pixels()];
    renderer.render(&views, &mut depth).unwrap();
    let (first, second) = depth.split_at(camera.pixels());
    assert!(first.iter().all(|depth| (depth - 3.0).abs() < 1e-5));
    assert!(second.iter().all(|depth| (depth - 1.0).abs() < 1e-5));
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let camera = CameraSettings::default();
    let mesh = room();
    for resolution in [0, 4, 60, 264] {
        let camera = CameraSettings {
            resolution,
            ..camera
        };
        let error = Renderer::new(camera, &[&mesh]).unwrap_err();
        assert_eq!(error, RenderError::Resolution(resolution));
    }
    for (field_of_view, limit) in [
        (f32::NAN, 10.0),
        (3.2, 10.0),
        (1.0, 0.0),
        (1.0, f32::INFINITY),
    ] {
        let camera = CameraSettings {
            field_of_view,
            limit,
            ..camera
        };
        let error = Renderer::new(camera, &[&mesh]).unwrap_err();
        assert!(matches!(error, RenderError::Setting { .. }), "{error}");
    }
    assert_eq!(
        Renderer::new(camera, &[]).unwrap_err(),
        RenderError::NoScenes
    );
    let mut broken = room();
    broken.triangles[3][1][2] = f32::NAN;
    let error = Renderer::new(camera, &[&mesh, &broken]).unwrap_err();
    let (scene, triangle) = (1, 3);
    assert_eq!(error, RenderError::Corner { scene, triangle });

    let renderer = Renderer::new(camera, &[&mesh]).unwrap();
    let mut depth = vec![0.0; camera.pixels()];
    let mut refused =
        |view: View, length: usize| renderer.render(&[view], &mut depth[..length]).unwrap_err();
    let view = View::default();
    let (expected, found) = (camera.pixels(), 7);
    assert_eq!(refused(view, 7), RenderError::Length { expected, found });
    let (scene, scenes) = (1, 1);
    let other = View { scene, ..view };
    assert_eq!(
        refused(other, expected),
        RenderError::Scene {
            view: 0,
            scene,
            scenes
        }
    );
    let heading = f32::INFINITY;
    assert_eq!(
        refused(View { heading, ..view }, expected),
        RenderError::View(0)
    );
}
