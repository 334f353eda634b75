-- The demo's database: a shop of some age. Run by psql with -v scale=N; 1 is about 100 MB, 10 about 1 GB.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT setseed(0.42);
CREATE ROLE shop_owner; CREATE ROLE shop_app; CREATE ROLE accountant; CREATE ROLE analyst;
CREATE EXTENSION pg_trgm; CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION btree_gist;
CREATE SCHEMA shop AUTHORIZATION shop_owner; CREATE SCHEMA billing; CREATE SCHEMA crm; CREATE SCHEMA analytics;
GRANT USAGE ON SCHEMA shop, billing, crm TO shop_app; GRANT USAGE ON SCHEMA analytics TO analyst;
ALTER DEFAULT PRIVILEGES IN SCHEMA analytics GRANT SELECT ON TABLES TO analyst;
COMMENT ON SCHEMA billing IS 'Invoices; the accountants'' own';

-- shop
CREATE TYPE shop.order_state AS ENUM ('new', 'paid', 'packed', 'shipped', 'returned');
CREATE DOMAIN shop.amount AS numeric(12,2) CHECK (VALUE >= 0);
CREATE TABLE shop.customers (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email citext NOT NULL UNIQUE, name text NOT NULL,
  address jsonb NOT NULL DEFAULT '{}', attributes hstore, created_at timestamptz NOT NULL DEFAULT now(),
  search tsvector GENERATED ALWAYS AS (to_tsvector('simple', name)) STORED);
CREATE TABLE shop.products (
  id serial PRIMARY KEY, sku text NOT NULL UNIQUE, title text NOT NULL, price shop.amount NOT NULL, tags text[] NOT NULL DEFAULT '{}',
  picture bytea, "On Sale?" boolean NOT NULL DEFAULT false);
CREATE TABLE shop.orders (
  id bigserial PRIMARY KEY, customer_id bigint NOT NULL REFERENCES shop.customers, state shop.order_state NOT NULL DEFAULT 'new',
  placed_at timestamptz NOT NULL, note text);
CREATE TABLE shop.order_lines (
  order_id bigint NOT NULL REFERENCES shop.orders ON DELETE CASCADE, line smallint NOT NULL, product_id int NOT NULL REFERENCES shop.products,
  quantity int NOT NULL CHECK (quantity > 0), price shop.amount NOT NULL, PRIMARY KEY (order_id, line));
CREATE TABLE shop.stock_moves (id bigserial PRIMARY KEY, product_id int REFERENCES shop.products, delta int NOT NULL, at timestamptz NOT NULL DEFAULT now());
INSERT INTO shop.customers (email, name, address, attributes, created_at)
  SELECT 'customer' || g || '@example.com', (ARRAY['Zoë','Bjørn','Łukasz','Ana','王芳','O''Neil'])[1 + g % 6] || ' ' || md5(g::text),
    jsonb_build_object('city', (ARRAY['Köln','Oslo','Łódź','Lisboa','北京'])[1 + g % 5], 'zip', lpad((g % 99999)::text, 5, '0'), 'lines', jsonb_build_array('Street ' || g % 1000, NULL)),
    hstore('source', (ARRAY['web','fair','friend'])[1 + g % 3]), timestamptz '2018-01-01' + g * interval '7 minutes'
  FROM generate_series(1, (20000 * :scale)::int) g;
INSERT INTO shop.products (sku, title, price, tags, picture)
  SELECT 'SKU-' || g, initcap(md5(g::text)) || ' "deluxe" \ v' || g % 9, (g % 5000) / 7.0, ARRAY['tag' || g % 20, 'tag' || g % 7], CASE WHEN g % 10 = 0 THEN decode(repeat(md5(g::text), 100), 'hex') END
  FROM generate_series(1, 2000) g;
INSERT INTO shop.orders (customer_id, state, placed_at, note)
  SELECT 1 + (random() * (20000 * :scale - 1))::bigint, (enum_range(NULL::shop.order_state))[1 + g % 5], timestamptz '2024-01-01' + g * (interval '700 days' / (100000 * :scale)),
    CASE WHEN g % 4 = 0 THEN E'leave at the door\tplease\n' || md5(g::text) END
  FROM generate_series(1, (100000 * :scale)::int) g;
INSERT INTO shop.order_lines SELECT o.id, l, 1 + (random() * 1999)::int, 1 + (random() * 4)::int, (random() * 100)::numeric(12,2) FROM shop.orders o, generate_series(1, 3) l;
INSERT INTO shop.stock_moves (product_id, delta, at) SELECT 1 + g % 2000, (g % 21) - 10, timestamptz '2025-01-01' + g * interval '1 minute' FROM generate_series(1, (50000 * :scale)::int) g;
-- What the shop's visitors look at: small writes, all the time.
CREATE TABLE shop.visits (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), page text NOT NULL);
CREATE INDEX ON shop.customers USING gin (search);
CREATE INDEX ON shop.customers USING gin (name gin_trgm_ops);
CREATE INDEX ON shop.customers ((address ->> 'city'));
CREATE INDEX ON shop.products USING gin (tags);
CREATE INDEX orders_open ON shop.orders (placed_at) INCLUDE (customer_id) WHERE state IN ('new', 'paid');
CREATE INDEX ON shop.orders (customer_id, placed_at DESC);
CREATE INDEX ON shop.order_lines (product_id);
CREATE INDEX ON shop.stock_moves USING brin (at);
CREATE FUNCTION shop.order_total(shop.orders) RETURNS numeric LANGUAGE sql STABLE AS
  'SELECT sum(quantity * price) FROM shop.order_lines WHERE order_id = $1.id';
CREATE FUNCTION shop.guard_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.state = 'returned' AND NEW.state <> 'returned' THEN RAISE 'order % was returned', OLD.id; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER guard_state BEFORE UPDATE OF state ON shop.orders FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION shop.guard_state();
CREATE PROCEDURE shop.ship(bigint) LANGUAGE sql AS 'UPDATE shop.orders SET state = ''shipped'' WHERE id = $1';
ALTER TABLE shop.orders OWNER TO shop_owner;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA shop TO shop_app;
GRANT SELECT (id, name), REFERENCES (id) ON shop.customers TO analyst;
ALTER TABLE shop.customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_country ON shop.customers FOR SELECT TO analyst USING (address ->> 'city' <> 'Oslo');
CREATE POLICY app_all ON shop.customers TO shop_app USING (true) WITH CHECK (email <> '');

-- billing: one partition a month
CREATE TABLE billing.invoices (id bigserial, issued date NOT NULL, order_id bigint NOT NULL, gross shop.amount NOT NULL, vat numeric(5,2) NOT NULL DEFAULT 19,
  net numeric GENERATED ALWAYS AS (gross / 1.19) STORED, document xml, PRIMARY KEY (id, issued)) PARTITION BY RANGE (issued);
SELECT format('CREATE TABLE billing.invoices_%s PARTITION OF billing.invoices FOR VALUES FROM (%L) TO (%L)', to_char(m, 'YYYY_MM'), m::date, (m + interval '1 month')::date)
  FROM generate_series(timestamp '2024-01-01', '2025-12-01', '1 month') m \gexec
CREATE TABLE billing.invoices_rest PARTITION OF billing.invoices DEFAULT;
INSERT INTO billing.invoices (issued, order_id, gross, document)
  SELECT placed_at::date, id, (random() * 500)::numeric(12,2), xmlelement(name invoice, xmlattributes(id AS "order"), note) FROM shop.orders WHERE state <> 'new';
CREATE INDEX ON billing.invoices (order_id);
CREATE TABLE billing.rates (room int, during daterange, rate numeric, EXCLUDE USING gist (room WITH =, during WITH &&));
INSERT INTO billing.rates SELECT g, daterange('2024-01-01', '2025-01-01'), g FROM generate_series(1, 50) g;
ALTER TABLE billing.invoices OWNER TO accountant;
GRANT SELECT ON billing.invoices TO analyst WITH GRANT OPTION;

-- crm
CREATE TABLE crm.events (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, customer_id bigint REFERENCES shop.customers, kind text NOT NULL, at timestamptz NOT NULL, data jsonb NOT NULL);
INSERT INTO crm.events (customer_id, kind, at, data)
  SELECT 1 + g % (20000 * :scale)::int, (ARRAY['visit','call','mail','complaint'])[1 + g % 4], timestamptz '2024-06-01' + g * interval '3 minutes',
    jsonb_build_object('page', '/p/' || g % 2000, 'agent', md5(g::text), 'steps', jsonb_build_array(g, g % 7, NULL, g / 3.0), 'text', repeat('lorem ipsum ', g % 8))
  FROM generate_series(1, (120000 * :scale)::int) g;
CREATE INDEX ON crm.events USING gin (data jsonb_path_ops);
CREATE INDEX ON crm.events (customer_id, at);
CREATE TABLE crm.notes (id serial PRIMARY KEY, customer_id bigint REFERENCES shop.customers, body text NOT NULL);
INSERT INTO crm.notes (customer_id, body) SELECT 1 + g % (20000 * :scale)::int, repeat(md5(g::text) || E' \\. ', 20) FROM generate_series(1, (10000 * :scale)::int) g;
CREATE INDEX ON crm.notes USING gin (body gin_trgm_ops);
CREATE TABLE crm.audit (LIKE crm.notes INCLUDING COMMENTS, changed timestamptz DEFAULT now());
CREATE RULE keep_deleted AS ON DELETE TO crm.notes DO ALSO INSERT INTO crm.audit (id, customer_id, body) VALUES (OLD.id, OLD.customer_id, OLD.body);
SELECT lo_from_bytea(700001, decode(repeat(md5('contract'), 5000), 'hex'));
COMMENT ON LARGE OBJECT 700001 IS 'A signed contract';

-- analytics
CREATE VIEW analytics.order_totals AS SELECT o.id, o.customer_id, o.placed_at, sum(l.quantity * l.price) AS total FROM shop.orders o JOIN shop.order_lines l ON l.order_id = o.id GROUP BY o.id;
CREATE MATERIALIZED VIEW analytics.revenue AS SELECT date_trunc('month', placed_at) AS month, count(*) AS orders, sum(total) AS revenue FROM analytics.order_totals GROUP BY 1;
CREATE UNIQUE INDEX ON analytics.revenue (month);
CREATE MATERIALIZED VIEW analytics.growth AS SELECT month, revenue, revenue - lag(revenue) OVER (ORDER BY month) AS change FROM analytics.revenue;
CREATE FUNCTION analytics.add_weighted(numeric, numeric, numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2 * $3';
CREATE AGGREGATE analytics.weighted_sum(numeric, numeric) (SFUNC = analytics.add_weighted, STYPE = numeric, INITCOND = '0');
ANALYZE;
