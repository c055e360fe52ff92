//! Gathering with normalization against a plain loop, on every instruction set.

use batchscope_kernels::{Isa, KernelError, gather_normalized, gather_windows_normalized};
use proptest::prelude::*;

proptest! {
    #[test]
    fn every_instruction_set_gives_the_plain_loop_s_bits(
        width in 1usize..70,
        table in prop::collection::vec(any::<u8>(), 70..700),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..300),
        shift in prop::collection::vec(-300f32..300.0, 70),
        scale in prop::collection::vec(-3f32..3.0, 70),
    ) {
        let examples = table.len() / width;
        let table = &table[..examples * width];
        let floats: Vec<f32> = table.iter().map(|&x| f32::from(x)).collect();
        let rows: Vec<u32> = picks.iter().map(|pick| pick.index(examples) as u32).collect();
        let (shift, scale) = (&shift[..width], &scale[..width]);
        let expected: Vec<f32> = rows
            .iter()
            .flat_map(|&row| (0..width).map(move |i| (row as usize * width + i, i)))
            .map(|(at, i)| (f32::from(table[at]) - shift[i]) * scale[i])
            .collect();
        for isa in Isa::available() {
            let mut out = vec![f32::NAN; expected.len()];
            gather_normalized(isa, table, &rows, shift, scale, &mut out).unwrap();
            prop_assert_eq!(&out, &expected, "{:?} of bytes", isa);
            out.fill(f32::NAN);
            gather_normalized(isa, &floats, &rows, shift, scale, &mut out).unwrap();
            prop_assert_eq!(&out, &expected, "{:?} of floats", isa);
        }
    }
}

#[test]
fn windows_overlap_and_end_with_the_table() {
    let table: Vec<f32> = (0..10u8).map(f32::from).collect();
    let (shift, scale) = ([1.0; 6], [2.0; 6]);
    let gather = |frame: usize, rows: &[u32]| {
        let mut out = vec![0.0; 6 * rows.len()];
        let isa = Isa::best();
        gather_windows_normalized(isa, &table, frame, rows, &shift, &scale, &mut out).map(|()| out)
    };
    let expected: Vec<f32> = [4u8, 5, 6, 7, 8, 9, 2, 3, 4, 5, 6, 7]
        .map(|x| (f32::from(x) - 1.0) * 2.0)
        .into();
    assert_eq!(gather(2, &[2, 1]).unwrap(), expected);
    let beyond = gather(2, &[0, 3]).unwrap_err();
    assert!(matches!(
        beyond,
        KernelError::Index {
            position: 1,
            bound: 3,
            ..
        }
    ));
    for frame in [0, 4] {
        assert!(gather(frame, &[0]).is_err());
    }
    assert!(
        gather(3, &[0]).is_err(),
        "a table of three frames and a bit"
    );
}

#[test]
fn rows_outside_the_table_and_wrong_lengths_are_refused() {
    let gather = |rows: &[u32], width: usize, out: usize| {
        let (table, mut out) = ([0u8; 6], vec![0.0; out]);
        let (shift, scale) = (vec![0.0; width], vec![1.0; width]);
        gather_normalized(Isa::portable(), &table, rows, &shift, &scale, &mut out)
    };
    assert_eq!(gather(&[0, 1], 3, 6), Ok(()));
    assert_eq!(
        gather(&[1, 2], 3, 6),
        Err(KernelError::Index {
            argument: "rows",
            position: 1,
            value: 2,
            bound: 2
        })
    );
    assert!(gather(&[0], 3, 2).is_err());
    assert!(gather(&[0], 4, 4).is_err(), "a table of one row and a half");
    assert!(gather(&[], 0, 0).is_err());
}
