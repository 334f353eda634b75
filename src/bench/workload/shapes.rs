//! Tables to be copied, in a few shapes: no index, so that COPY alone is what is compared.

use super::{Plan, scaled};

/// Tables of each shape: enough for every connection to have one.
const TABLES: u64 = 4;

/// What the rows look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Three integers.
    Narrow,
    /// Thirty columns of ten types.
    Wide,
    /// Long texts and binary values.
    Blobs,
}

impl Shape {
    /// All, in the order of the report.
    pub const ALL: [Shape; 3] = [Shape::Narrow, Shape::Wide, Shape::Blobs];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Narrow => "narrow",
            Shape::Wide => "wide",
            Shape::Blobs => "blobs",
        }
    }

    /// What it is, for people.
    pub fn what(self) -> &'static str {
        match self {
            Shape::Narrow => "four tables of three integers",
            Shape::Wide => "four tables of thirty columns",
            Shape::Blobs => "four tables of long texts and binary values",
        }
    }

    /// Its tables at this scale.
    pub fn plan(self, scale: f64) -> Plan {
        let (columns, rows, values) = match self {
            Shape::Narrow => ("id bigint NOT NULL, a int NOT NULL, b int".to_owned(), 1_000_000, "i, i % 1000, i % 7".to_owned()),
            Shape::Wide => (wide(|n, name, _| format!("c{n} {name}")), 120_000, wide(|_, _, value| value.to_owned())),
            Shape::Blobs => (
                "id bigint NOT NULL, body text NOT NULL, raw bytea NOT NULL".to_owned(),
                15_000,
                "i, (SELECT string_agg(md5((i * 64 + j)::text), ' ') FROM generate_series(1, 64) j), \
                 decode((SELECT string_agg(md5((i * 128 + j)::text), '') FROM generate_series(1, 128) j), 'hex')"
                    .to_owned(),
            ),
        };
        let rows = scaled(rows, scale, 10);
        let mut plan = Plan::default();
        for k in 0..TABLES {
            let table = format!("{}_{k}", self.name());
            let first = k * rows;
            plan.start.push(format!("CREATE TABLE bench.{table} ({columns})"));
            plan.source_only.push(format!(
                "INSERT INTO bench.{table} SELECT {values} FROM generate_series({}::bigint, {}::bigint) i",
                first + 1,
                first + rows
            ));
            plan.tables.push(table);
        }
        plan
    }
}

/// Thirty columns: number, type, value.
fn wide(column: impl Fn(usize, &str, &str) -> String) -> String {
    const KINDS: [(&str, &str); 10] = [
        ("bigint", "i"),
        ("int", "i % 100000"),
        ("text", "'text ' || md5(i::text)"),
        ("numeric(12,2)", "(i % 1000000) / 100.0"),
        ("timestamptz", "'2024-01-01 00:00:00+00'::timestamptz + i * interval '1 s'"),
        ("boolean", "i % 3 = 0"),
        ("double precision", "i / 7.0"),
        ("uuid", "md5(i::text)::uuid"),
        ("date", "'2024-01-01'::date + (i % 1000)::int"),
        ("varchar(20)", "CASE WHEN i % 4 > 0 THEN 'value ' || i % 1000 END"),
    ];
    let columns: Vec<String> = (0..30).map(|n| column(n, KINDS[n % 10].0, KINDS[n % 10].1)).collect();
    columns.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_tables_each_with_rows_of_its_own() {
        for shape in Shape::ALL {
            let plan = shape.plan(0.01);
            assert_eq!((plan.tables.len(), plan.start.len(), plan.source_only.len()), (4, 4, 4), "{shape:?}");
        }
        assert!(Shape::Narrow.plan(1.0).source_only[3].contains("3000001::bigint, 4000000::bigint"));
        assert_eq!(Shape::Wide.plan(1.0).start[0].matches(',').count(), 29 + 3);
    }
}
