//! The table: small against large batches.

use super::published::Published;
use super::results::{Contrast, RowKind, TableRow};
use super::sharpness::iterations;
use super::stored::{Stored, Value, What, ratio_of};
use super::task::{Method, Quantity, Space};
use crate::ReproduceError;
use crate::interval::difference;

/// Small against large batches, a row for each quantity that both were measured for.
pub(super) fn table(stored: &Stored<'_>) -> Result<Vec<TableRow>, ReproduceError> {
    let setting = &stored.plan.setting;
    let published = Published::of(&setting.network);
    let mut rows = Vec::new();
    let mut add = |quantity: String, what: What, published: Option<[f64; 2]>| {
        rows.extend(row(stored, quantity, &what, published)?);
        Ok::<(), ReproduceError>(())
    };
    add(
        "test accuracy (%)".to_owned(),
        What::TestAccuracy,
        published.map(|p| p.test_accuracy),
    )?;
    add("training loss".to_owned(), What::TrainLoss, None)?;
    for space in [Space::Full, Space::Random] {
        for &epsilon in &setting.sharpness.epsilons {
            let of = |p: &Published| match (space, epsilon) {
                (Space::Full, 1e-3) => Some(p.full),
                (Space::Full, 5e-4) => Some(p.full_half),
                (Space::Random, 1e-3) => Some(p.random),
                (Space::Random, 5e-4) => Some(p.random_half),
                _ => None,
            };
            let place = match space {
                Space::Full => "full space".to_owned(),
                Space::Random => format!("{} random dimensions", setting.sharpness.dimension),
            };
            add(
                format!("φ, {place}, ε = {epsilon:e} (%)"),
                What::Sharpness(Quantity::Phi { space, epsilon }),
                published.and_then(of),
            )?;
        }
    }
    for &epsilon in &setting.sharpness.epsilons {
        let quantity = Quantity::Converged { epsilon };
        // not every search converges by then: the row says what it is, the notes how many did
        let most = iterations(setting, &quantity);
        add(
            format!("φ, full space, ε = {epsilon:e}, up to {most} iterations (%)"),
            What::Sharpness(quantity),
            None,
        )?;
    }
    let radius = setting.sharpness.adaptive;
    add(
        format!("adaptive sharpness, each weight w within {radius}·(|w| + 0.01) (%)"),
        What::Sharpness(Quantity::Adaptive { radius }),
        None,
    )?;
    Ok(rows)
}

/// A row of the table; `None` where no start has both values.
fn row(
    stored: &Stored<'_>,
    quantity: String,
    what: &What,
    published: Option<[f64; 2]>,
) -> Result<Option<TableRow>, ReproduceError> {
    let setting = &stored.plan.setting;
    let ends = [
        (setting.small, Method::Plain),
        (setting.large, Method::Plain),
    ];
    let pairs = stored.pairs(ends, stored.plan.scope.starts, what)?;
    if pairs.is_empty() {
        return Ok(None);
    }
    let (small, large): (Vec<Value>, Vec<Value>) = pairs.iter().copied().unzip();
    let kind = match what {
        What::TestAccuracy => RowKind::Accuracy,
        What::Sharpness(_) => RowKind::Sharpness,
        _ => RowKind::Loss,
    };
    let (contrast, compared) = match what {
        What::TestAccuracy => {
            let pairs: Vec<_> = pairs.iter().map(|(s, l)| (s.value, l.value)).collect();
            (Contrast::Difference, difference(&pairs))
        }
        _ => {
            let turned: Vec<_> = pairs.iter().map(|(s, l)| (*l, *s)).collect();
            (Contrast::Ratio, ratio_of(&turned))
        }
    };
    Ok(Some(TableRow {
        kind,
        quantity,
        small: what.mean(&small),
        large: what.mean(&large),
        contrast,
        compared,
        published,
    }))
}
