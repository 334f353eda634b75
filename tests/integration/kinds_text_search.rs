//! Text search: parsers, templates, dictionaries, configurations.

use crate::kinds_types::carried;

#[test]
fn text_search() {
    carried("text_search");
}
