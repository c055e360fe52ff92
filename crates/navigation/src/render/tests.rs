use super::*;
use crate::scene::Box3;

#[test]
fn instruction_sets_do_not_change_a_bit() {
    let mut mesh = Mesh::default();
    mesh.add_level([-5.0, -5.0, 5.0, 5.0], 0.0, true);
    for i in 0..60u8 {
        let [x, y, z] = [37, 23, 11].map(|by| f32::from(i.wrapping_mul(by)) / 25.6 - 5.0);
        let (low, high) = ([x, y, 0.0], [x + 0.3, y + 0.4, z + 5.1]);
        mesh.add_box(Box3 { low, high }, true, false);
    }
    // Not flat: of two planes, and of another direction.
    mesh.add(&[[[0.0, 0.0, 2.0], [1.0, 0.1, 2.3], [0.2, 1.0, 1.9]]]);
    let views: Vec<View> = (0..100u8)
        .map(|i| View {
            scene: 0,
            position: [f32::from(i % 10) - 5.0, f32::from(i / 10) - 5.0],
            heading: f32::from(i),
        })
        .collect();
    let mut renderer = Renderer::new(CameraSettings::default(), &[&mesh]).unwrap();
    let mut archs = vec![pulp::Arch::Scalar, pulp::Arch::new()];
    #[cfg(target_arch = "x86_64")]
    archs.extend(pulp::x86::V3::try_new().map(pulp::Arch::V3));
    let drawn = archs.into_iter().map(|arch| {
        renderer.arch = arch;
        let mut depth = vec![0.0; views.len() * renderer.camera.pixels()];
        renderer.render(&views, &mut depth).unwrap();
        depth.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    });
    let drawn: Vec<_> = drawn.collect();
    assert!(drawn.iter().all(|images| *images == drawn[0]));
}
