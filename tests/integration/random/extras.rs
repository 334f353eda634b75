//! Rarer kinds, as far as they are carried.

use super::Generator;

impl Generator {
    pub fn extra(&mut self) {
        self.table();
    }
}
