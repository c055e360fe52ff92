//! Devices that trials take turns on.

use std::sync::{Condvar, Mutex, PoisonError};

use batchscope_core::{Control, Flow};

/// Places for trials: each is held by one trial at a time.
#[derive(Debug)]
pub struct Devices {
    free: Mutex<Vec<String>>,
    returned: Condvar,
    count: usize,
}

/// A place that is held; dropped, it is free again.
#[derive(Debug)]
pub struct Slot<'a> {
    devices: &'a Devices,
    name: String,
}

impl Devices {
    /// Named places: `cuda:0`, `cuda:1+cuda:2`. An empty name is a place without a device of its own.
    pub fn new(mut names: Vec<String>) -> Self {
        let count = names.len();
        // The first is taken first.
        names.reverse();
        Self {
            free: Mutex::new(names),
            returned: Condvar::new(),
            count,
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes a place, waiting for one; `None` once `control` says to stop.
    pub fn take(&self, control: &dyn Control) -> Option<Slot<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(name) = free.pop() {
                return Some(Slot {
                    devices: self,
                    name,
                });
            }
            if control.flow() == Flow::Interrupt {
                return None;
            }
            let wait = std::time::Duration::from_millis(100);
            let woken = self.returned.wait_timeout(free, wait);
            free = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Slot<'_> {
    /// The device's name; empty for none of its own.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the environment says of it: `CUDA_VISIBLE_DEVICES=1` for `cuda:1`, `1,2` for `cuda:1+cuda:2`.
    pub fn environment(&self) -> Vec<(String, String)> {
        let numbers: Option<Vec<&str>> = self
            .name
            .split('+')
            .map(|device| device.strip_prefix("cuda:"))
            .collect();
        match numbers {
            Some(numbers) => {
                let numbers = numbers.join(",");
                vec![
                    ("CUDA_VISIBLE_DEVICES".to_owned(), numbers.clone()),
                    // ROCm takes its own name for the same.
                    ("HIP_VISIBLE_DEVICES".to_owned(), numbers),
                ]
            }
            None => Vec::new(),
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut free = self
            .devices
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        free.push(std::mem::take(&mut self.name));
        drop(free);
        self.devices.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use batchscope_core::NeverStop;

    #[test]
    fn a_device_is_held_by_one_at_a_time() {
        let devices = Devices::new(vec!["cuda:0".to_owned(), "cuda:1".to_owned()]);
        let first = devices.take(&NeverStop).unwrap();
        let second = devices.take(&NeverStop).unwrap();
        assert_eq!((first.name(), second.name()), ("cuda:0", "cuda:1"));
        struct Stop;
        impl Control for Stop {
            fn flow(&self) -> Flow {
                Flow::Interrupt
            }
        }
        assert!(devices.take(&Stop).is_none(), "all are held");
        drop(first);
        assert_eq!(devices.take(&Stop).unwrap().name(), "cuda:0");
    }

    #[test]
    fn several_devices_are_shown_to_one_trial() {
        let devices = Devices::new(vec!["cuda:1+cuda:2".to_owned(), String::new()]);
        let slot = devices.take(&NeverStop).unwrap();
        assert_eq!(
            slot.environment()[0],
            ("CUDA_VISIBLE_DEVICES".to_owned(), "1,2".to_owned())
        );
        let none = devices.take(&NeverStop).unwrap();
        assert!(none.environment().is_empty());
    }
}
