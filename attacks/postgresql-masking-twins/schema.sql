-- Two databases with this schema hold the same rows but for the masked columns, whose names begin with "m".
-- NULLs stand at the same places: whether a masked value is NULL shows. Nothing is analysed: the order of rows that
-- nobody sorted may follow statistics, and is not what is searched for.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN code AS text CHECK (length(value) < 100);
CREATE TABLE person (
  id integer PRIMARY KEY,
  name text NOT NULL,
  born date,
  score numeric(10, 2),
  tags text[],
  info jsonb,
  mtext text,
  mpart text,
  mvar varchar(40),
  mchar char(20),
  mcode code,
  msmall smallint,
  mint integer,
  mbig bigint,
  mnum numeric(12, 3),
  mfloat double precision,
  mbool boolean,
  mdate date,
  mstamp timestamptz,
  mgap interval,
  muuid uuid,
  mjson jsonb,
  mdoc json,
  mbytes bytea,
  maddr inet,
  mlist text[],
  mints integer[],
  mmood mood,
  mspan int4range,
  mpoint point
);
CREATE TABLE visit (id integer PRIMARY KEY, person integer REFERENCES person (id), place text, mnote text, mcost integer);
CREATE TABLE base (id integer, label text);
CREATE TABLE child (mextra text) INHERITS (base);
CREATE TABLE parts (id integer, mpay integer) PARTITION BY RANGE (id);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (100);
CREATE VIEW people AS SELECT id, name AS called, mtext AS hidden, mint + 1 AS more, upper(mvar) AS loud FROM person;
CREATE VIEW tall AS SELECT p.id, v.place, v.mnote AS note FROM person p LEFT JOIN visit v ON v.person = p.id;
CREATE FUNCTION note_of(which integer) RETURNS text LANGUAGE sql STABLE AS 'SELECT mnote FROM public.visit WHERE id = which';
CREATE FUNCTION rows_of() RETURNS SETOF visit LANGUAGE sql STABLE AS 'SELECT * FROM public.visit ORDER BY id';
CREATE INDEX ON person (mint);
CREATE INDEX ON person (mtext);

INSERT INTO person
SELECT n, 'name ' || n, '2001-01-01'::date + n, n * 1.5, ARRAY['t' || n, 'u'], jsonb_build_object('a', n, 'b', 'plain'),
  m || 'secret' || n, lpad(n::text, 5, CASE m WHEN 'x' THEN '1' ELSE '2' END) || '-tail', m || m || n, m || n, m || 'code' || n,
  k + n, k * 1000 + n, k * 10000000000 + n, k + n / 7.0, k / 3.0 + n, (n + k) % 2 = 0, '1990-01-01'::date + k * n,
  '2020-01-01 00:00:00+00'::timestamptz + make_interval(days => k * n), make_interval(hours => k + n),
  md5(m || n)::uuid, jsonb_build_object('a', m || n, 'n', k + n, 'list', jsonb_build_array(m, n, k)), json_build_object('b', m || n),
  decode(md5(m || n), 'hex'), ('10.' || k % 250 || '.0.' || n)::inet, CASE k % 2 WHEN 0 THEN ARRAY[m, m || n] ELSE ARRAY[m || n] END,
  ARRAY[k, n], (ARRAY['sad', 'ok', 'happy'])[1 + (n + k) % 3]::mood, int4range(k, k + n), point(k, n)
FROM generate_series(1, 6) n, (VALUES (:'m', :'k'::integer)) v (m, k);
INSERT INTO person (id, name) VALUES (7, 'nobody');
-- values on which operations fail in one of the two only
INSERT INTO person
SELECT 8, 'odd', '2001-01-08', 8, ARRAY['t8'], '{"a": 8}', CASE WHEN k = 7 THEN '42' ELSE '%s ''odd?>--' END,
  CASE WHEN k = 7 THEN '123456tail' ELSE '{"a":}tail' END, CASE WHEN k = 7 THEN '' ELSE repeat('y', 40) END,
  CASE WHEN k = 7 THEN '7' ELSE '{' END, CASE WHEN k = 7 THEN '10.0.0.1' ELSE repeat('c', 99) END,
  CASE WHEN k = 7 THEN 0 ELSE 32767 END, CASE WHEN k = 7 THEN 0 ELSE 2147483646 END, CASE WHEN k = 7 THEN -1 ELSE 9223372036854775807 END,
  CASE WHEN k = 7 THEN '0' ELSE 'NaN' END::numeric, CASE WHEN k = 7 THEN '0' ELSE '-Infinity' END::float8, k = 7,
  CASE WHEN k = 7 THEN '2000-01-01' ELSE 'infinity' END::date, CASE WHEN k = 7 THEN '2000-01-01' ELSE '-infinity' END::timestamptz,
  '0'::interval, '00000000-0000-0000-0000-000000000000', CASE WHEN k = 7 THEN '{"a": 1}' ELSE '[1, [2], "x"]' END::jsonb,
  CASE WHEN k = 7 THEN '{"a": 1}' ELSE '"x"' END::json, CASE WHEN k = 7 THEN '\x41' ELSE '\xff00' END::bytea, CASE WHEN k = 7 THEN '10.0.0.1' ELSE '::1' END::inet,
  CASE WHEN k = 7 THEN '{}' ELSE '{{a,b},{c,d}}' END::text[], CASE WHEN k = 7 THEN '{1}' ELSE '[5:7]={1,NULL,3}' END::integer[],
  'sad', CASE WHEN k = 7 THEN 'empty' ELSE '[1,)' END::int4range, point(0, 0)
FROM (VALUES (:'m', :'k'::integer)) v (m, k);
INSERT INTO visit
SELECT n, 1 + n % 6, 'place ' || n % 3, CASE WHEN n % 4 > 0 THEN m || ' note ' || n END, (k * n) % 97
FROM generate_series(1, 12) n, (VALUES (:'m', :'k'::integer)) v (m, k);
INSERT INTO base VALUES (1, 'one');
INSERT INTO child VALUES (2, 'two', :'m' || 'extra');
INSERT INTO parts SELECT n, n * :'k'::integer FROM generate_series(1, 20) n;
