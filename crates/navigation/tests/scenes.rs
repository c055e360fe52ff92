//! Floor plans can be walked through, and their distances are the shortest.

use batchscope_core::Split;
use batchscope_navigation::{
    Geodesics, HALF_WIDTH, Obstacles, PASSAGE, PlanSettings, Rect, Scene, length,
};
use proptest::prelude::*;

fn scene(rooms: [u32; 2], triangles: usize, number: u64) -> Scene {
    Scene::draw(&PlanSettings { rooms, triangles }, 7, number, Split::Train)
}

/// Free points on a grid.
fn free_points(space: &Obstacles, step: f64) -> Vec<[f64; 2]> {
    let Rect { low, high } = space.within();
    let [columns, rows] = [0, 1].map(|i| ((high[i] - low[i]) / step) as usize);
    let points = (0..=rows).flat_map(|row| (0..=columns).map(move |column| [column, row]));
    let points = points.map(|at| [0, 1].map(|i| low[i] + step * at[i] as f64));
    points.filter(|&point| space.is_free(point)).collect()
}

fn distance(scene: &Scene, from: [f64; 2], goal: [f64; 2]) -> f64 {
    let mut from_corners = vec![0.0; scene.ways.corners().len()];
    scene.ways.toward(&scene.space, goal, &mut from_corners);
    let mut bounds = from_corners.clone();
    (scene.ways).distance(&scene.space, from, goal, &from_corners, &mut bounds)
}

/// Dijkstra over every pair of points that see each other: slow, and without a thought.
fn by_dijkstra(space: &Obstacles, from: [f64; 2], goal: [f64; 2]) -> f64 {
    let corners = space.rects().iter().flat_map(Rect::corners);
    let mut points = vec![from, goal];
    points.extend(corners.filter(|&corner| space.is_free(corner)));
    let mut reached = vec![f64::INFINITY; points.len()];
    let mut done = vec![false; points.len()];
    reached[0] = 0.0;
    loop {
        let open = (0..points.len()).filter(|&i| !done[i] && reached[i].is_finite());
        let Some(next) = open.min_by(|&a, &b| reached[a].total_cmp(&reached[b])) else {
            return reached[1];
        };
        done[next] = true;
        for i in 0..points.len() {
            if space.sees(points[next], points[i]) {
                reached[i] = reached[i].min(reached[next] + length(points[next], points[i]));
            }
        }
    }
}

#[test]
fn a_scene_is_its_number_and_held_out_scenes_are_others() {
    let settings = PlanSettings {
        rooms: [1, 3],
        triangles: 1000,
    };
    let draw = |number, split| Scene::draw(&settings, 7, number, split);
    assert_eq!(draw(3, Split::Train), draw(3, Split::Train));
    assert_ne!(draw(3, Split::Train).plan, draw(4, Split::Train).plan);
    assert_ne!(draw(3, Split::Train).plan, draw(3, Split::Val).plan);
    assert_ne!(draw(3, Split::Test).plan, draw(3, Split::Val).plan);
}

/// What a plan has beside furniture never takes more than the least that can be asked for.
#[test]
fn the_limit_of_triangles_is_one() {
    for number in 0..300 {
        let bare = scene([12, 12], PlanSettings::LEAST_TRIANGLES, number);
        let triangles = bare.mesh.triangles.len();
        assert!(triangles <= PlanSettings::LEAST_TRIANGLES, "{triangles}");
    }
}

#[test]
fn large_plans_fill_their_triangles() {
    for number in 0..5 {
        let large = scene([8, 8], PlanSettings::MOST_TRIANGLES, number);
        let triangles = large.mesh.triangles.len();
        assert!((1950..=2000).contains(&triangles), "{triangles} triangles");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_free_place_is_reached_and_no_passage_is_narrow(number in any::<u64>(), rooms in 1u32..=12) {
        let scene = scene([rooms, rooms], 1200, number);
        let plan = &scene.plan;
        prop_assert!(scene.mesh.triangles.len() <= 1200);
        prop_assert_eq!(plan.rooms, rooms as usize);
        // Free places within a grid's step of each other, near enough to see each other.
        let goal = free_points(&scene.space, 0.05)[0];
        let mut from_corners = vec![0.0; scene.ways.corners().len()];
        scene.ways.toward(&scene.space, goal, &mut from_corners);
        let mut bounds = from_corners.clone();
        for point in free_points(&scene.space, 0.25) {
            let far = scene.ways.distance(&scene.space, point, goal, &from_corners, &mut bounds);
            prop_assert!(far.is_finite(), "{:?} is cut off from {:?}", point, goal);
        }
        for (i, piece) in plan.furniture.iter().enumerate() {
            for other in &plan.furniture[..i] {
                prop_assert!(!piece.place.grown(PASSAGE - 1e-9).overlaps(&other.place));
            }
            prop_assert!(plan.doors.iter().all(|door| !door.overlaps(&piece.place)));
            let inside = (0..plan.rooms).map(|room| plan.inside(room));
            let inside = inside.filter(|room| room.grown(1e-9).contains(piece.place.low)
                && room.grown(1e-9).contains(piece.place.high));
            prop_assert_eq!(inside.count(), 1);
        }
    }

    #[test]
    fn distances_are_those_of_a_search_over_all_lines_of_sight(number in any::<u64>(), picks in prop::collection::vec(any::<prop::sample::Index>(), 6)) {
        let scene = scene([1, 3], 1000, number);
        let points = free_points(&scene.space, 0.17);
        let points: Vec<_> = picks.iter().map(|pick| points[pick.index(points.len())]).collect();
        for pair in points.chunks(2) {
            let [a, b] = [pair[0], pair[1]];
            let (there, back) = (distance(&scene, a, b), distance(&scene, b, a));
            let searched = by_dijkstra(&scene.space, a, b);
            prop_assert!((there - searched).abs() < 1e-9, "{} and {}", there, searched);
            prop_assert!((there - back).abs() < 1e-9);
            prop_assert!(there >= length(a, b) - 1e-12);
        }
    }

    #[test]
    fn an_agent_that_pushes_against_everything_is_never_inside_of_it(number in any::<u64>(), turns in prop::collection::vec(0.0f64..6.3, 200)) {
        let scene = scene([1, 3], 1000, number);
        let mut at = free_points(&scene.space, 0.31)[3];
        for turn in turns {
            let next = scene.space.slide(at, [0.25 * turn.cos(), 0.25 * turn.sin()]);
            prop_assert!(scene.space.is_free(next));
            prop_assert!(length(at, next) <= 0.25 + 1e-12);
            at = next;
        }
        let touching = Obstacles::new(scene.plan.building, &scene.plan.obstacles(), HALF_WIDTH - 1e-6);
        prop_assert!(touching.is_free(at));
    }
}

/// The least of the triangle inequality that a table of ways has to keep.
#[test]
fn ways_over_a_third_point_are_no_shorter() {
    let scene = scene([3, 3], 1000, 5);
    let points = free_points(&scene.space, 0.9);
    let table: Vec<Vec<f64>> = points
        .iter()
        .map(|&a| points.iter().map(|&b| distance(&scene, a, b)).collect())
        .collect();
    for a in 0..points.len() {
        for b in 0..points.len() {
            for c in 0..points.len() {
                assert!(table[a][c] <= table[a][b] + table[b][c] + 1e-9);
            }
        }
    }
    assert_eq!(Geodesics::new(&scene.space), scene.ways);
}
