//! Pictures show what they are of, at its place and in its color, and are valid files.

use std::io::Cursor;

use batchscope_core::Split;
use batchscope_navigation::{
    Animation, AnimationSettings, COLORS, EnvironmentState, EpisodeFrame, MOST_SIDE, Marks,
    Picture, PictureError, PlanPictureSettings, PlanScale, PlanSettings, SUCCESS_WITHIN, Scene,
    SheetSettings, Way, contact_sheet, depth_color, plan_picture,
};
use proptest::prelude::*;

fn scene(rooms: u32) -> Scene {
    let settings = PlanSettings {
        rooms: [rooms; 2],
        triangles: 800,
    };
    Scene::draw(&settings, 7, 3, Split::Train)
}

/// The picture that is read back from a file.
fn decoded(bytes: &[u8]) -> Picture {
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
    let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut rgb).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb);
    Picture {
        width: info.width,
        height: info.height,
        rgb,
    }
}

fn written(picture: &Picture) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.write_png(&mut bytes).unwrap();
    bytes
}

/// The color of a picture where a point of the scene lies.
fn color_at(picture: &Picture, scale: &PlanScale, point: [f64; 2]) -> [u8; 3] {
    let [x, y] = scale.pixel(point).map(|x| x as u32);
    picture.pixel(x, y).unwrap()
}

fn middle([low, high]: [[f64; 2]; 2]) -> [f64; 2] {
    [0, 1].map(|i| (low[i] + high[i]) / 2.0)
}

/// Colors are equal but for rounding.
fn close(a: [u8; 3], b: [u8; 3]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 1)
}

#[test]
fn plans_have_walls_doorways_and_furniture_at_their_places() {
    let settings = PlanPictureSettings::default();
    for rooms in [1, 3, 8] {
        let scene = scene(rooms);
        let scale = PlanScale::new(&scene, &settings);
        let drawn = plan_picture(&scene, &Marks::default(), &settings);
        let picture = decoded(&written(&drawn));
        assert_eq!(picture, drawn);
        assert_eq!(
            [picture.width, picture.height],
            [scale.width(), scale.height()]
        );
        let color = |point| color_at(&picture, &scale, point);
        let plan = &scene.plan;
        for wall in &plan.walls {
            assert_eq!(color(middle([wall.low, wall.high])), COLORS.wall);
        }
        for door in &plan.doors {
            assert_eq!(color(middle([door.low, door.high])), COLORS.floor);
        }
        assert!(!plan.furniture.is_empty());
        for piece in &plan.furniture {
            let color = color(middle([piece.place.low, piece.place.high]));
            assert!(
                color != COLORS.floor && color != COLORS.wall,
                "{}",
                piece.name
            );
        }
        let [x, y] = plan.building.high;
        assert_eq!(color([x + 0.05, y / 2.0]), COLORS.wall);
        assert_eq!(color([x + 0.2, y / 2.0]), COLORS.ground);
        // The bar is a meter long.
        let row = scale.pixel([0.0, -0.4])[1] as u32;
        let bar = (0..picture.width).filter(|&x| picture.pixel(x, row) == Some(COLORS.wall));
        assert_eq!(bar.count(), 60);
    }
}

/// What stands higher is darker.
#[test]
fn furniture_is_the_darker_the_higher() {
    let settings = PlanPictureSettings::default();
    let scene = scene(8);
    let scale = PlanScale::new(&scene, &settings);
    let picture = plan_picture(&scene, &Marks::default(), &settings);
    let brightness = |name: &str| {
        let piece = scene
            .plan
            .furniture
            .iter()
            .find(|piece| piece.name == name)
            .unwrap();
        let place = piece.place;
        // Near a corner, where things do not reach: their places are a grid from the other.
        let point = place.high.map(|x| x - 0.05);
        color_at(&picture, &scale, point)
            .iter()
            .map(|&x| u32::from(x))
            .sum::<u32>()
    };
    assert!(brightness("stool") > brightness("cabinet"));
    assert!(brightness("cabinet") > brightness("wardrobe"));
}

#[test]
fn marks_are_seen_where_they_are() {
    let settings = PlanPictureSettings::default();
    let scene = scene(1);
    let scale = PlanScale::new(&scene, &settings);
    let [x, y] = middle([scene.plan.building.low, scene.plan.building.high]);
    let (start, goal, agent) = ([x - 0.8, y], [x + 0.8, y], [x, y + 0.8]);
    let marks = Marks {
        ways: &[Way {
            points: &[start, [x, y], goal],
            color: COLORS.way,
        }],
        start: Some(start),
        goal: Some(goal),
        agent: Some((agent, std::f64::consts::FRAC_PI_2)),
    };
    let picture = plan_picture(&scene, &marks, &settings);
    let color = |point| color_at(&picture, &scale, point);
    assert_eq!(color([x, y]), COLORS.way);
    assert_eq!(color(start), COLORS.start);
    for [dx, dy] in [[1.0, 0.0], [0.0, 1.0], [-0.8, 0.6], [0.6, -0.8]] {
        let on_ring = [goal[0] + SUCCESS_WITHIN * dx, goal[1] + SUCCESS_WITHIN * dy];
        assert!(close(color(on_ring), COLORS.goal));
    }
    // Within the ring it is of a lighter color, not of the floor's.
    let within = color([goal[0] + 0.1, goal[1]]);
    assert!(within != COLORS.goal && within != color([x, y - 0.8]));
    // The agent looks up: it reaches farther up than down.
    assert_eq!(color([x, y + 0.95]), COLORS.agent);
    assert_ne!(color([x, y + 0.65]), COLORS.agent);
}

#[test]
fn pictures_are_no_larger_than_their_limit_and_the_same_every_time() {
    let scene = scene(8);
    for pixels_per_meter in [1e9, f64::INFINITY] {
        let scale = PlanScale::new(
            &scene,
            &PlanPictureSettings {
                pixels_per_meter,
                scale_bar: false,
            },
        );
        assert_eq!(scale.width().max(scale.height()), MOST_SIDE);
    }
    let picture = || plan_picture(&scene, &Marks::default(), &PlanPictureSettings::default());
    assert_eq!(written(&picture()), written(&picture()));
}

#[test]
fn near_is_lighter_than_far() {
    let luminance = |depth| {
        let [r, g, b] = depth_color(depth, 10.0).map(f64::from);
        0.2126 * r + 0.7152 * g + 0.0722 * b
    };
    let rising = (0..100).map(|i| luminance(i as f32 / 10.0));
    assert!(rising.is_sorted_by(|near, far| near > far));
    assert_eq!(depth_color(2.5, 10.0), [0xb6, 0x36, 0x79]);
    assert_eq!(depth_color(-1.0, 10.0), depth_color(0.0, 10.0));
    for far in [11.0, f32::INFINITY, f32::NAN] {
        assert_eq!(depth_color(far, 10.0), depth_color(10.0, 10.0));
    }
}

#[test]
fn sheets_show_each_image_in_its_cell() {
    let images: Vec<Vec<f32>> = (0..5).map(|i| vec![i as f32; 64]).collect();
    let depths: Vec<&[f32]> = images.iter().map(Vec::as_slice).collect();
    let settings = SheetSettings {
        resolution: 8,
        columns: 3,
        enlarged: 2,
        limit: 5.0,
    };
    let sheet = decoded(&written(&contact_sheet(&depths, &settings).unwrap()));
    assert_eq!([sheet.width, sheet.height], [3 * 18 + 2, 2 * 18 + 2]);
    for i in 0..6 {
        let [x, y] = [i % 3, i / 3].map(|place| 2 + 18 * place);
        let color = match i {
            5 => COLORS.ground,
            _ => depth_color(i as f32, 5.0),
        };
        for [dx, dy] in [[8, 8], [0, 0], [15, 15]] {
            assert_eq!(sheet.pixel(x + dx, y + dy), Some(color));
        }
        assert_eq!(sheet.pixel(x + 16, y + 8), Some(COLORS.ground));
    }
    assert_eq!(sheet.pixel(0, 38), None);
}

#[test]
fn sheets_refuse_what_they_cannot_show() {
    let settings = SheetSettings {
        resolution: 8,
        columns: 3,
        enlarged: 1,
        limit: 5.0,
    };
    assert!(!written(&contact_sheet(&[], &settings).unwrap()).is_empty());
    let images: [&[f32]; 2] = [&[0.0; 64], &[0.0; 63]];
    let error = contact_sheet(&images, &settings).unwrap_err();
    assert_eq!(
        error.to_string(),
        "depth image 1 has 63 numbers, but 64 pixels"
    );
    let columns = 0;
    let error = contact_sheet(
        &[],
        &SheetSettings {
            columns,
            ..settings
        },
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "`columns` must be at least 1");
    for enlarged in [1000, usize::MAX] {
        let large = SheetSettings {
            enlarged,
            ..settings
        };
        let error = contact_sheet(&images[..1], &large).unwrap_err();
        assert!(matches!(error, PictureError::TooLarge { .. }));
    }
}

const ANIMATION: AnimationSettings = AnimationSettings {
    resolution: 8,
    limit: 10.0,
    height: 100,
};

fn state(position: [f64; 2], heading: f64, goal: [f64; 2]) -> EnvironmentState {
    EnvironmentState {
        scene: 0,
        position,
        heading,
        goal,
        distance: 1.0,
        steps: 0,
    }
}

#[test]
fn animations_have_every_frame_and_hold_the_last() {
    let scene = scene(3);
    for frames in [1u32, 4] {
        let mut bytes = Vec::new();
        let mut animation = Animation::new(&mut bytes, &scene, frames, &ANIMATION).unwrap();
        let way: Vec<[f64; 2]> = (0..frames)
            .map(|i| [1.0 + 0.25 * f64::from(i), 1.0])
            .collect();
        let depths: Vec<[f32; 64]> = (0..frames).map(|i| [i as f32; 64]).collect();
        for i in 0..frames as usize {
            let frame = EpisodeFrame {
                depth: &depths[i],
                state: state(way[i], 0.0, [2.0, 2.0]),
                way: &way[..=i],
            };
            animation.add(&frame).unwrap();
        }
        animation.finish().unwrap();
        let mut reader = png::Decoder::new(Cursor::new(&bytes)).read_info().unwrap();
        assert_eq!(reader.info().animation_control.unwrap().num_frames, frames);
        let [width, height] = [reader.info().width, reader.info().height];
        // 8 pixels are enlarged twelve times.
        assert_eq!(height, 96 + 16);
        for i in 0..frames {
            let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut rgb).unwrap();
            let picture = Picture { width, height, rgb };
            assert_eq!(picture.pixel(50, 50), Some(depth_color(i as f32, 10.0)));
            let has = |color| picture.rgb.as_chunks::<3>().0.contains(&color);
            assert!(has(COLORS.wall) && has(COLORS.goal) && has(COLORS.agent));
            let control = reader.info().frame_control.unwrap();
            let delay = if i + 1 == frames { (1, 1) } else { (1, 10) };
            assert_eq!((control.delay_num, control.delay_den), delay);
        }
    }
}

#[test]
fn animations_refuse_another_number_of_frames() {
    let scene = scene(1);
    let begin = |frames| Animation::new(Vec::new(), &scene, frames, &ANIMATION);
    assert!(begin(0).is_err());
    let depth = [1.0; 64];
    let frame = EpisodeFrame {
        depth: &depth,
        state: state([1.0; 2], 0.0, [2.0; 2]),
        way: &[],
    };
    let mut animation = begin(2).unwrap();
    animation.add(&frame).unwrap();
    let short = EpisodeFrame {
        depth: &depth[1..],
        ..frame
    };
    assert!(animation.add(&short).is_err());
    let error = animation.finish().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the animation was begun for 2 frames, but got 1"
    );
    let mut animation = begin(1).unwrap();
    animation.add(&frame).unwrap();
    assert!(animation.add(&frame).is_err());
    animation.finish().unwrap();
    let huge = AnimationSettings {
        height: u32::MAX,
        ..ANIMATION
    };
    assert!(Animation::new(Vec::new(), &scene, 1, &huge).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No number is too odd to be drawn or left out.
    #[test]
    fn odd_numbers_do_not_panic(
        points in prop::collection::vec([prop::num::f64::ANY, prop::num::f64::ANY], 0..8),
        near in prop::collection::vec([-1e6..1e6, -1e6..1e6], 0..8),
        heading in prop::num::f64::ANY,
        pixels_per_meter in prop_oneof![-1.0..40.0, Just(f64::NAN), Just(1e-300)],
    ) {
        let scene = scene(1);
        let settings = PlanPictureSettings { pixels_per_meter, scale_bar: true };
        let place = points.first().copied();
        let color = COLORS.way;
        let marks = Marks {
            ways: &[Way { points: &points, color }, Way { points: &near, color }],
            start: place,
            goal: place,
            agent: near.first().or(points.last()).map(|&place| (place, heading)),
        };
        let picture = plan_picture(&scene, &marks, &settings);
        prop_assert!(picture.write_png(std::io::sink()).is_ok());
    }
}
