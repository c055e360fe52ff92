//! Two ways to depth images: the rasterizer, and ray casting over a kept BVH crate.
//!
//! `cargo run --release -p batchscope-navigation --example render_ways`

use std::time::Instant;

use batchscope_navigation::{Box3, CameraSettings, Mesh, Renderer, View};
use bvh::{
    aabb::{Aabb, Bounded},
    bounding_hierarchy::BHShape,
    bvh::{Bvh, BvhNode},
    ray::Ray,
};

type Point = nalgebra::Point3<f32>;
type Vector = nalgebra::Vector3<f32>;

/// Meters between the walls of two rooms.
const ROOM: f32 = 4.0;
/// Frames of a measurement.
const FRAMES: usize = 4096;
/// Measurements; the median is printed.
const REPEATS: usize = 5;

struct Triangle {
    corners: [Point; 3],
    node: usize,
}

impl Bounded<f32, 3> for Triangle {
    fn aabb(&self) -> Aabb<f32, 3> {
        let [a, b, c] = &self.corners;
        Aabb::empty().grow(a).grow(b).grow(c)
    }
}

impl BHShape<f32, 3> for Triangle {
    fn set_bh_node_index(&mut self, index: usize) {
        self.node = index;
    }
    fn bh_node_index(&self) -> usize {
        self.node
    }
}

fn main() {
    println!("triangles  way                      threads   frames/s");
    for rooms in [3, 5, 8] {
        let mesh = house(rooms);
        let camera = CameraSettings::default();
        let views = views(rooms, FRAMES);
        let renderer = Renderer::new(camera, &[&mesh]).expect("the scene is valid");
        let mut depth = vec![0.0; FRAMES * camera.pixels()];
        let (shapes, tree) = grow(&mesh);
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.expect("threads start");
            let line = |way: &str, rate: f64| {
                println!(
                    "{:9}  {way:24} {threads:7} {rate:10.0}",
                    mesh.triangles.len()
                );
            };
            let draw =
                |depth: &mut [f32]| renderer.render(&views, depth).expect("the views are valid");
            line(
                "rasterizer",
                rate(FRAMES, || pool.install(|| draw(&mut depth))),
            );
            let few = FRAMES / 32;
            let mut seen = vec![0.0; few * camera.pixels()];
            let cast = |seen: &mut [f32]| trace(&camera, &shapes, &tree, &views[..few], seen);
            line(
                "rays, bvh 0.13",
                rate(few, || pool.install(|| cast(&mut seen))),
            );
            let differ = seen
                .iter()
                .zip(&depth)
                .filter(|(a, b)| (**a - **b).abs() > 1e-3 * **a);
            let share = differ.count() as f64 / seen.len() as f64;
            assert!(
                share < 0.005,
                "the ways differ in {:.2} % of the pixels",
                share * 100.0
            );
        }
    }
}

/// Frames per second: the median of a few measurements.
fn rate(frames: usize, mut draw: impl FnMut()) -> f64 {
    draw();
    let mut rates = [0.0; REPEATS].map(|_: f64| {
        let start = Instant::now();
        draw();
        frames as f64 / start.elapsed().as_secs_f64()
    });
    rates.sort_by(f64::total_cmp);
    rates[REPEATS / 2]
}

/// A square house of square rooms with doors between them and furniture in them.
fn house(rooms: usize) -> Mesh {
    let mut mesh = Mesh::default();
    let side = rooms as f32 * ROOM;
    mesh.add_level([0.0, 0.0, side, side], 0.0, true);
    mesh.add_level([0.0, 0.0, side, side], 2.5, false);
    let mut upright =
        |low: [f32; 3], high: [f32; 3], top| mesh.add_box(Box3 { low, high }, top, false);
    for i in 0..=rooms {
        let at = i as f32 * ROOM;
        for j in 0..rooms {
            let from = j as f32 * ROOM;
            // Doors of one meter, in inner walls.
            let outer = i == 0 || i == rooms;
            let parts: &[[f32; 2]] = if outer {
                &[[0.0, ROOM]]
            } else {
                &[[0.0, 1.5], [2.5, ROOM]]
            };
            for [start, end] in parts {
                upright(
                    [at - 0.05, from + start, 0.0],
                    [at + 0.05, from + end, 2.5],
                    false,
                );
                upright(
                    [from + start, at - 0.05, 0.0],
                    [from + end, at + 0.05, 2.5],
                    false,
                );
            }
            if !outer {
                upright(
                    [at - 0.05, from + 1.5, 2.0],
                    [at + 0.05, from + 2.5, 2.5],
                    false,
                );
                upright(
                    [from + 1.5, at - 0.05, 2.0],
                    [from + 2.5, at + 0.05, 2.5],
                    false,
                );
            }
        }
    }
    let mut random = Sequence(1);
    for room in 0..rooms * rooms {
        let corner = [(room % rooms) as f32 * ROOM, (room / rooms) as f32 * ROOM];
        for _ in 0..4 {
            let [x, y] = corner.map(|c| c + random.within(0.4, 2.6));
            let [wide, deep, high] =
                [(0.2, 1.0), (0.2, 1.0), (0.3, 1.8)].map(|(a, b)| random.within(a, b));
            upright([x, y, 0.0], [x + wide, y + deep, high], true);
        }
    }
    mesh
}

/// Cameras in the lower left corner of their rooms, where no furniture is.
fn views(rooms: usize, count: usize) -> Vec<View> {
    let mut random = Sequence(2);
    let room = rooms as f32;
    let mut place = move || random.within(0.0, room).floor() * ROOM + random.within(0.15, 0.35);
    let mut turn = Sequence(3);
    let view = |_| View {
        scene: 0,
        position: [place(), place()],
        heading: turn.within(0.0, std::f32::consts::TAU),
    };
    (0..count).map(view).collect()
}

/// A linear congruential generator: Knuth's MMIX constants.
struct Sequence(u64);

impl Sequence {
    fn within(&mut self, low: f32, high: f32) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        low + (high - low) * ((self.0 >> 40) as f32 / (1u32 << 24) as f32)
    }
}

fn grow(mesh: &Mesh) -> (Vec<Triangle>, Bvh<f32, 3>) {
    let shape = |t: &[[f32; 3]; 3]| Triangle {
        corners: t.map(Point::from),
        node: 0,
    };
    let mut shapes: Vec<_> = mesh.triangles.iter().map(shape).collect();
    let tree = Bvh::build(&mut shapes);
    (shapes, tree)
}

/// Casts one ray for each pixel.
fn trace(
    camera: &CameraSettings,
    shapes: &[Triangle],
    tree: &Bvh<f32, 3>,
    views: &[View],
    depth: &mut [f32],
) {
    use rayon::prelude::*;
    let n = camera.resolution;
    let tangent = (camera.field_of_view / 2.0).tan() / (n as f32 / 2.0);
    let images = depth.par_chunks_exact_mut(camera.pixels()).zip(views);
    images.for_each(|(image, view)| {
        let (sin, cos) = view.heading.sin_cos();
        let eye = Point::new(view.position[0], view.position[1], camera.eye_height);
        for (i, pixel) in image.iter_mut().enumerate() {
            let at = |k: usize| (n as f32 / 2.0 - k as f32 - 0.5) * tangent;
            let (left, up) = (at(i % n), at(i / n));
            let ray = Ray::new(eye, Vector::new(cos - sin * left, sin + cos * left, up));
            // The crate's rays have unit length. Depths are along the view axis.
            let along = 1.0 / (1.0 + left * left + up * up).sqrt();
            *pixel = nearest_hit(shapes, tree, &ray, camera.limit / along) * along;
        }
    });
}

/// The distance of the nearest hit, at most `limit`: the near child first, and no box behind the nearest hit so far.
/// The crate's own iterators cannot be told of that hit.
fn nearest_hit(shapes: &[Triangle], tree: &Bvh<f32, 3>, ray: &Ray<f32, 3>, limit: f32) -> f32 {
    let entry = |aabb: &Aabb<f32, 3>| {
        let slice = ray.intersection_slice_for_aabb(aabb);
        slice.map_or(f32::INFINITY, |(entry, _)| entry)
    };
    let mut nearest = limit;
    let mut stack = [(0, 0.0f32); 64];
    let mut height = 1;
    while height > 0 {
        height -= 1;
        let (node, from) = stack[height];
        if from >= nearest {
            continue;
        }
        match &tree.nodes[node] {
            BvhNode::Leaf { shape_index, .. } => {
                let [a, b, c] = &shapes[*shape_index].corners;
                nearest = nearest.min(ray.intersects_triangle(a, b, c).distance);
            }
            BvhNode::Node {
                child_l_index,
                child_l_aabb,
                child_r_index,
                child_r_aabb,
                ..
            } => {
                let mut near = (*child_l_index, entry(child_l_aabb));
                let mut far = (*child_r_index, entry(child_r_aabb));
                if far.1 < near.1 {
                    std::mem::swap(&mut near, &mut far);
                }
                for child in [far, near] {
                    if child.1 < nearest {
                        stack[height] = child;
                        height += 1;
                    }
                }
            }
        }
    }
    nearest
}
