//! Rows of extensions' configuration tables that refer to each other: their foreign keys are there before the rows are.

use crate::harness::{Cluster, Options, assert_same};
use crate::moves::offline_with;

/// The shape of `postgis_topology`; names and sizes in the wrong order, a table that refers to itself and one that refers to two.
const SCRIPT: &str = "CREATE TABLE topology (id serial PRIMARY KEY, name text);
    CREATE TABLE layer (topology_id int NOT NULL REFERENCES topology (id), layer_id int NOT NULL, up int, PRIMARY KEY (layer_id, topology_id),
      FOREIGN KEY (up, topology_id) REFERENCES layer);
    CREATE TABLE a_feature (layer_id int, topology_id int REFERENCES topology, pad text, FOREIGN KEY (layer_id, topology_id) REFERENCES layer);
    CREATE TABLE alone (i int);
    SELECT pg_catalog.pg_extension_config_dump('a_feature', ''); SELECT pg_catalog.pg_extension_config_dump('layer', '');
    SELECT pg_catalog.pg_extension_config_dump('topology', ''); SELECT pg_catalog.pg_extension_config_dump('topology_id_seq', '');
    SELECT pg_catalog.pg_extension_config_dump('alone', '');";

fn ordered(from: u32, to: u32, rows: u32) {
    let options = Options::new().extension("topo", SCRIPT);
    let (source, target) = (Cluster::start(from, &options), Cluster::start(to, &options));
    let (source, target) = (source.database("source"), target.database("target"));
    source.psql(&format!(
        "CREATE SCHEMA topology; CREATE EXTENSION topo SCHEMA topology; SET search_path = topology;
         INSERT INTO topology (name) VALUES ('a'), ('b'); INSERT INTO layer VALUES (1, 1, NULL), (1, 2, 1), (2, 1, NULL); INSERT INTO alone VALUES (1);
         INSERT INTO a_feature SELECT 1, 1, repeat('x', 1000) FROM generate_series(1, {rows});
         CREATE TABLE public.users (id int REFERENCES topology.topology); INSERT INTO public.users VALUES (1);
         SELECT format('CREATE TABLE public.filler_%s AS SELECT g FROM generate_series(1, 10) g', i) FROM generate_series(1, 60) i \\gexec\n"
    ));
    for jobs in ["1", "2", "4"] {
        offline_with(jobs, &source, &target);
        assert_same(&source, &target);
    }
}

#[test]
fn configuration_tables_that_refer_to_each_other_15_to_18() {
    ordered(15, 18, 10);
}

#[test]
fn configuration_tables_that_refer_to_each_other_with_a_large_one() {
    ordered(18, 18, 6000);
}
