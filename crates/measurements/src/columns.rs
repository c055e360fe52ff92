//! Which column holds what.

use batchscope_core::{SettingError, Target, plain_name as normal};

use crate::{
    MeasurementsError, ROLES, ReadOptions, Role, Table,
    roles::{COUNTS, bare, is_per_device, is_setting},
};

/// The columns of a table that are used, by what they hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// Role and position.
    taken: Vec<(Role, usize)>,
}

impl Columns {
    /// Finds the columns: those named by hand, then those whose headings are known. Of the columns that
    /// count how long a run trained, one is taken.
    ///
    /// # Errors
    /// When a heading named by hand is not there, or nothing holds the batch size or the length of a run.
    pub fn of(table: &Table, options: &ReadOptions) -> Result<Self, MeasurementsError> {
        let mut columns = Self::default();
        for (role, heading) in &options.columns {
            if let Some(heading) = heading {
                let at = position(table, heading)?;
                columns.taken.push((*role, at));
            }
        }
        let by_hand = |role: Role| options.columns.iter().any(|(named, _)| *named == role);
        let a_count_by_hand = COUNTS.into_iter().any(|role| columns.at(role).is_some());
        // A tracker's own count is taken where there is no other.
        let others = COUNTS.into_iter().any(|role| {
            let found = known(table, role);
            found.is_some_and(|at| !bare(&table.columns[at]).starts_with('_'))
        });
        for info in ROLES {
            let is_count = COUNTS.contains(&info.role);
            let counted = COUNTS.into_iter().any(|role| columns.at(role).is_some());
            if by_hand(info.role) || is_count && (counted || a_count_by_hand) {
                continue;
            }
            let found = match info.role {
                Role::Metric => options
                    .target
                    .as_ref()
                    .and_then(|target| metric(table, target)),
                role => known(table, role),
            };
            let own = |at: &usize| bare(&table.columns[*at]).starts_with('_');
            let found = found.filter(|at| !(is_count && others && own(at)));
            let free = found.filter(|at| columns.role(*at).is_none());
            columns.taken.extend(free.map(|at| (info.role, at)));
        }
        let at = columns.need(table, Role::BatchSize)?;
        if !by_hand(Role::BatchSize) {
            refuse_passes(table, at)?;
        }
        if columns.count().is_none() {
            return Err(missing(table, Role::Steps));
        }
        Ok(columns)
    }

    /// Where a role's column is.
    pub fn at(&self, role: Role) -> Option<usize> {
        self.taken
            .iter()
            .find(|(taken, _)| *taken == role)
            .map(|&(_, at)| at)
    }

    /// What a column is taken for.
    pub fn role(&self, at: usize) -> Option<Role> {
        self.taken
            .iter()
            .find(|(_, taken)| *taken == at)
            .map(|&(role, _)| role)
    }

    /// The column that counts how long runs trained, and in what.
    pub fn count(&self) -> Option<(Role, usize)> {
        COUNTS
            .into_iter()
            .find_map(|role| Some((role, self.at(role)?)))
    }

    /// Every column that is used, in the order of the table, with its heading.
    pub fn used(&self, table: &Table) -> Vec<(Role, String)> {
        let headings = table.columns.iter().enumerate();
        headings
            .filter_map(|(at, heading)| Some((self.role(at)?, heading.clone())))
            .collect()
    }

    /// Where a column is that must be there.
    pub(crate) fn need(&self, table: &Table, role: Role) -> Result<usize, MeasurementsError> {
        self.at(role).ok_or_else(|| missing(table, role))
    }

    /// Leaves out a column that was found by its heading and does not hold what that says. Returns its heading.
    pub(crate) fn drop_unreadable(&mut self, table: &Table, options: &ReadOptions) -> Vec<String> {
        const OPTIONAL: [Role; 3] = [Role::LearningRate, Role::StepSeconds, Role::Seconds];
        let by_hand = |role: Role| options.columns.iter().any(|(named, _)| *named == role);
        let mut dropped = Vec::new();
        for role in OPTIONAL.into_iter().filter(|role| !by_hand(*role)) {
            let Some(at) = self.at(role) else {
                continue;
            };
            let mut cells = table.rows.iter().map(|row| row.cells[at].as_str());
            let is_number = |cell: &str| {
                cell.is_empty() || cell.parse::<f64>().is_ok_and(|x| x.is_finite() && x >= 0.0)
            };
            if !cells.all(is_number) {
                dropped.push(table.columns[at].clone());
                self.taken.retain(|(taken, _)| *taken != role);
            }
        }
        dropped
    }

    /// The match in a sentence, and the columns that are left out in another.
    pub(crate) fn notes(&self, table: &Table) -> Vec<String> {
        let used = self.used(table).into_iter();
        let used: Vec<String> = used
            .map(|(role, heading)| format!("{role} is '{heading}'"))
            .collect();
        let mut notes = vec![format!("columns: {}", used.join(", "))];
        let left: Vec<String> = table
            .columns
            .iter()
            .enumerate()
            .filter(|(at, _)| self.role(*at).is_none())
            .map(|(_, heading)| format!("'{heading}'"))
            .collect();
        if !left.is_empty() {
            let shown = left[..left.len().min(8)].join(", ");
            let more = match left.len().saturating_sub(8) {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            notes.push(format!("columns not used: {shown}{more}"));
        }
        notes
    }
}

/// Columns that say how many passes or devices a step takes.
const PASSES: [&str; 10] = [
    "gradientaccumulationsteps",
    "gradaccumulationsteps",
    "gradaccumsteps",
    "accumulategradbatches",
    "accumulationsteps",
    "worldsize",
    "numgpus",
    "ngpus",
    "numdevices",
    "ngpu",
];

/// A column of batch sizes that was found by its heading may count one pass's examples, where steps take several.
fn refuse_passes(table: &Table, batch_size: usize) -> Result<(), MeasurementsError> {
    let several = |at: usize| {
        let mut cells = table.rows.iter().map(|row| row.cells[at].as_str());
        cells.any(|cell| cell.parse::<f64>().is_ok_and(|x| x > 1.0))
    };
    let says = (0..table.columns.len())
        .find(|&at| PASSES.contains(&normal(bare(&table.columns[at])).as_str()) && several(at));
    let Some(says) = says else {
        return Ok(());
    };
    let (passes, heading) = (&table.columns[says], &table.columns[batch_size]);
    let why = format!(
        "'{passes}' is above 1, so '{heading}' may count the examples of a part of a step: name the column that counts a step's by batch_size=HEADING ('{heading}' too, if it does)"
    );
    Err(SettingError::new("column", why).into())
}

/// The column with a heading named by hand.
fn position(table: &Table, heading: &str) -> Result<usize, SettingError> {
    let exact = table.columns.iter().position(|c| c == heading);
    let alike = || {
        table
            .columns
            .iter()
            .position(|c| normal(c) == normal(heading))
    };
    // A tracker's `config.lr` may be called `lr`.
    let without_prefix = || {
        let named = |c: &String| normal(bare(c)) == normal(heading);
        table.columns.iter().position(named)
    };
    exact.or_else(alike).or_else(without_prefix).ok_or_else(|| {
        let why = format!(
            "there is no column '{heading}' among {}",
            table.columns.join(", ")
        );
        SettingError::new("column", why)
    })
}

/// The first column with one of a role's headings, the earlier heading first. A name that begins with `_` is a
/// tracker's own (W&B counts its calls in `_step`) and comes after all others.
fn known(table: &Table, role: Role) -> Option<usize> {
    let is = |wanted: &str, own: bool| {
        table.columns.iter().position(|c| {
            bare(c).starts_with('_') == own
                && normal(bare(c)) == wanted
                && !(role.is_measured() && is_setting(c))
        })
    };
    let headings = role.info().headings;
    let of = |own: bool| headings.iter().find_map(|wanted| is(wanted, own));
    of(false).or_else(|| of(true))
}

/// The column of a target's metric: `val-loss` is `val_loss`, `val/loss`, `validation loss`, `eval_loss`.
fn metric(table: &Table, target: &Target) -> Option<usize> {
    table
        .columns
        .iter()
        .position(|c| target.metric.is_called(bare(c)) && !is_setting(c))
}

fn missing(table: &Table, role: Role) -> MeasurementsError {
    let info = role.info();
    let per_device = table
        .columns
        .iter()
        .find(|c| role == Role::BatchSize && is_per_device(c));
    let hint = per_device.map_or_else(String::new, |heading| {
        format!("; '{heading}' counts the examples of one device or pass: it is the batch size only without accumulation, on one device")
    });
    let what = match role {
        Role::Steps => "steps, examples, epochs or tokens",
        _ => info.about,
    };
    MeasurementsError::NoColumn {
        role,
        what,
        columns: table.columns.clone(),
        known: info.headings,
        hint,
    }
}
