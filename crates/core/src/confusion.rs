use std::ops::AddAssign;

/// Counts of labeled pixels by their class and the class that was predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// `[label][prediction]`.
    counts: Vec<u64>,
}

impl Confusion {
    /// No pixels of so many classes.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            counts: vec![0; classes * classes],
        }
    }

    /// The counts, `[label][prediction]`: as many as classes, squared.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// A table of these counts; `None` where their number is no square.
    pub fn from_counts(counts: Vec<u64>) -> Option<Self> {
        let classes = counts.len().isqrt();
        (classes * classes == counts.len()).then_some(Self { classes, counts })
    }

    /// Counts a pixel. Both must be below the number of classes.
    pub fn add(&mut self, label: usize, prediction: usize) {
        debug_assert!(label < self.classes && prediction < self.classes);
        self.counts[label * self.classes + prediction] += 1;
    }

    /// Pixels of class `label` that were taken for `prediction`.
    pub fn count(&self, label: usize, prediction: usize) -> u64 {
        self.counts[label * self.classes + prediction]
    }

    /// Mean intersection over union (Everingham et al. 2015, section 4.3, as for Cityscapes):
    /// `TP / (TP + FP + FN)` of each class over all pixels counted, averaged over the classes that
    /// occur among labels or predictions. `None` without pixels.
    ///
    /// ```
    /// use batchscope_core::Confusion;
    /// let mut confusion = Confusion::new(3);
    /// [(0, 0), (0, 0), (0, 1), (1, 1)].map(|(label, found)| confusion.add(label, found));
    /// // Class 0: 2 of 3; class 1: 1 of 2; class 2 does not occur.
    /// assert_eq!(confusion.mean_iou(), Some((2.0 / 3.0 + 1.0 / 2.0) / 2.0));
    /// ```
    pub fn mean_iou(&self) -> Option<f64> {
        let of = |class: usize| {
            let labeled: u64 = (0..self.classes).map(|k| self.count(class, k)).sum();
            let predicted: u64 = (0..self.classes).map(|k| self.count(k, class)).sum();
            let both = self.count(class, class);
            let either = labeled + predicted - both;
            (either > 0).then(|| both as f64 / either as f64)
        };
        let ious: Vec<f64> = (0..self.classes).filter_map(of).collect();
        (!ious.is_empty()).then(|| ious.iter().sum::<f64>() / ious.len() as f64)
    }
}

impl AddAssign<&Confusion> for Confusion {
    /// Adds the counts of other pixels of the same classes.
    fn add_assign(&mut self, other: &Confusion) {
        debug_assert_eq!(self.classes, other.classes);
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_over_the_pixels_of_all_parts() {
        // Halves with 0 and 1 as their means, and a whole that is neither's mean.
        let (mut right, mut wrong) = (Confusion::new(2), Confusion::new(2));
        (0..3).for_each(|_| right.add(0, 0));
        wrong.add(0, 1);
        assert_eq!(right.mean_iou(), Some(1.0));
        assert_eq!(wrong.mean_iou(), Some(0.0));
        right += &wrong;
        // Class 0: 3 of 4; class 1: 0 of 1.
        assert_eq!(right.mean_iou(), Some(0.375));
        assert_eq!(Confusion::new(5).mean_iou(), None);
    }
}
