//! Range types.

use super::{Object, RenderOptions};

/// A range type; its multirange type and the constructor functions of both come with it.
#[derive(Clone, Debug, Default)]
pub struct RangeType {
    /// The type of its bounds.
    pub subtype: String,
    /// Its multirange type, qualified and quoted (14 and later).
    pub multirange: Option<String>,
    /// The operator class, qualified and quoted, where it is not the subtype's default.
    pub opclass: Option<String>,
    /// The collation, qualified and quoted, where it is not the subtype's.
    pub collation: Option<String>,
    /// The canonical function, which takes the type itself: the type must first be made as a shell.
    pub canonical: Option<String>,
    /// The function that measures the distance of two bounds.
    pub subtype_diff: Option<String>,
}

impl RangeType {
    /// `CREATE TYPE … AS RANGE`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let parts = [
            ("subtype", Some(&self.subtype)),
            ("multirange_type_name", self.multirange.as_ref()),
            ("subtype_opclass", self.opclass.as_ref()),
            ("collation", self.collation.as_ref()),
            ("canonical", self.canonical.as_ref()),
            ("subtype_diff", self.subtype_diff.as_ref()),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter_map(|(word, value)| Some(format!("\n    {word} = {}", value?)))
            .collect();
        vec![format!("CREATE TYPE {} AS RANGE ({}\n)", object.qualified_name(), parts.join(","))]
    }

    /// `DROP TYPE`; with a canonical function both need each other, and only `CASCADE` can take the pair.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        let cascade = if self.canonical.is_some() { " CASCADE" } else { "" };
        vec![format!("DROP TYPE IF EXISTS {}{cascade}", object.qualified_name())]
    }

    /// `TYPE s.t`.
    pub fn reference(&self, object: &Object) -> String {
        format!("TYPE {}", object.qualified_name())
    }
}
