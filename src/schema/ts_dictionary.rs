//! Text search dictionaries.
//!
//! The files that a dictionary names belong to the server: they must be on the target's, or making it fails.

use super::{Object, RenderOptions};

/// A text search dictionary.
#[derive(Clone, Debug, Default)]
pub struct TextSearchDictionary {
    /// Its template, qualified and quoted.
    pub template: String,
    /// Its options as the catalog has them, ready to be written.
    pub options: Option<String>,
}

impl TextSearchDictionary {
    /// `CREATE TEXT SEARCH DICTIONARY`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let options = self.options.as_ref().map(|o| format!(",\n    {o}")).unwrap_or_default();
        vec![format!("CREATE {} (\n    TEMPLATE = {}{options}\n)", self.reference(object), self.template)]
    }

    /// `DROP TEXT SEARCH DICTIONARY`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP TEXT SEARCH DICTIONARY IF EXISTS {}", object.qualified_name())]
    }

    /// `TEXT SEARCH DICTIONARY s.d`.
    pub fn reference(&self, object: &Object) -> String {
        format!("TEXT SEARCH DICTIONARY {}", object.qualified_name())
    }

    /// The files that the server reads for it, named as in its folder `tsearch_data` (`get_tsearch_config_filename` in
    /// `src/backend/tsearch/ts_utils.c`).
    pub fn files(&self) -> Vec<String> {
        let template = self.template.rsplit('.').next().unwrap_or_default();
        let extension = |option: &str| match (option, template) {
            ("stopwords", _) => Some("stop"),
            ("dictfile", "thesaurus") => Some("ths"),
            ("dictfile", _) => Some("dict"),
            ("afffile", _) => Some("affix"),
            ("synonyms", _) => Some("syn"),
            ("rules", _) => Some("rules"),
            _ => None,
        };
        let options = self.options.as_deref().unwrap_or_default().split(", ");
        let file = |option: &str| {
            let (name, value) = option.split_once(" = ")?;
            let name = name.trim_matches('"').to_lowercase();
            Some(format!("{}.{}", value.trim_matches('\''), extension(&name)?))
        };
        options.filter_map(file).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_by_option_and_template() {
        let files = |template: &str, options: &str| {
            TextSearchDictionary { template: template.into(), options: Some(options.into()) }.files()
        };
        assert_eq!(
            files("pg_catalog.snowball", "language = 'german', stopwords = 'our_own'"),
            ["our_own.stop"]
        );
        assert_eq!(files("pg_catalog.ispell", "dictfile = 'de', afffile = 'de'"), ["de.dict", "de.affix"]);
        assert_eq!(
            files("pg_catalog.thesaurus", "dictfile = 'words', dictionary = 'english_stem'"),
            ["words.ths"]
        );
        assert_eq!(files("s.unaccent", "rules = 'unaccent'"), ["unaccent.rules"]);
        assert_eq!(TextSearchDictionary::default().files(), Vec::<String>::new());
    }
}
