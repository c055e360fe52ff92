//! Draws a contact sheet of a data set's first training examples as they are trained on:
//! `cargo run --release -p batchscope-data --example contact_sheet -- glyphs sheet.png`.

use batchscope_core::{Batch, InputShape, Inputs};
use batchscope_data::{LoadOptions, open};

const COLUMNS: usize = 24;
const ROWS: usize = 15;
/// Each pixel becomes a square of this side.
const ZOOM: usize = 2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(source), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err("usage: contact_sheet SOURCE OUT.png".into());
    };
    let start = std::time::Instant::now();
    let data = open(&source, &LoadOptions::default())?;
    println!(
        "{} in {:.2?}\n{}\n{}",
        data.name,
        start.elapsed(),
        data.description,
        data.fingerprint
    );
    let InputShape::Image {
        height,
        width,
        channels,
    } = data.shape.input
    else {
        return Err("this data set has no images".into());
    };
    let mut batch = Batch::empty(data.shape);
    data.train
        .fill_in_order(0..(COLUMNS * ROWS) as u64, &mut batch);
    let Inputs::Values(values) = &batch.inputs else {
        return Err("images are values".into());
    };
    let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(low, high), &x| {
        (low.min(x), high.max(x))
    });
    let (cell_w, cell_h) = (width * ZOOM + 2, height * ZOOM + 2);
    let sheet =
        image::RgbImage::from_fn((COLUMNS * cell_w) as u32, (ROWS * cell_h) as u32, |x, y| {
            let (x, y) = (x as usize, y as usize);
            let (column, row, px, py) =
                (x / cell_w, y / cell_h, x % cell_w / ZOOM, y % cell_h / ZOOM);
            let example = row * COLUMNS + column;
            if px >= width || py >= height || example >= batch.len {
                return image::Rgb([60, 60, 90]);
            }
            let at = ((example * height + py) * width + px) * channels;
            let level =
                |c: usize| ((values[at + c.min(channels - 1)] - low) / (high - low) * 255.0) as u8;
            image::Rgb([level(0), level(1), level(2)])
        });
    sheet.save(out)?;
    Ok(())
}
