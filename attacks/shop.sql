-- The shop that the attacks are run against. The gateway's role is a superuser here on purpose:
-- nothing but Firebreak stands between an attack and the damage.
CREATE SCHEMA IF NOT EXISTS private;

CREATE TABLE public.customers (
  id integer PRIMARY KEY,
  name text NOT NULL,
  email text,
  ssn text,
  card text,
  salary integer,
  born date,
  profile jsonb
);
INSERT INTO public.customers VALUES
  (1, 'Ada Okafor', :email1, :ssn1, '4111 1111 1111 1111', :salary1, :born1, :profile1),
  (2, 'Ben Castillo', :email2, :ssn2, '5500 0000 0000 0004', :salary2, :born2, :profile2),
  (3, 'Chen Wei', :email3, :ssn3, '3400 0000 0000 009', :salary3, :born3, :profile3);

CREATE TABLE public.orders (
  id integer PRIMARY KEY,
  customer_id integer REFERENCES public.customers (id),
  total numeric(10, 2) NOT NULL,
  status text NOT NULL DEFAULT 'open',
  comment text,
  placed timestamptz NOT NULL DEFAULT '2026-01-01 00:00:00+00'
);
INSERT INTO public.orders (id, customer_id, total, status, comment) VALUES
  (1, 1, 10.50, 'open', 'please do not drop table-ware'),
  (2, 1, 99.00, 'paid', 'DELETE FROM fridge'),
  (3, 2, 5.25, 'open', NULL);

CREATE TABLE public.carts (
  id integer PRIMARY KEY,
  customer_id integer,
  items jsonb NOT NULL DEFAULT '[]',
  note text
);
INSERT INTO public.carts VALUES (1, 1, '["pen"]', 'first'), (2, 2, '["ink"]', 'second'), (3, 3, '[]', 'third');
CREATE TABLE public.wishes (id integer PRIMARY KEY, note text);
CREATE TABLE public.wish_visits (
  wish integer REFERENCES public.wishes (id) ON DELETE CASCADE ON UPDATE SET NULL,
  visit integer PRIMARY KEY
);
CREATE TABLE public.visit_pages (visit integer REFERENCES public.wish_visits (visit) ON DELETE SET NULL, page text);

CREATE TABLE public."Weird Name" ("delete" text, "drop table" integer, "select" text);
INSERT INTO public."Weird Name" VALUES ('kept', 1, 'x');

CREATE TABLE private.payroll (id integer PRIMARY KEY, amount integer);
INSERT INTO private.payroll VALUES (1, 100), (2, 200);

CREATE TABLE public.people (id integer PRIMARY KEY, badge text);
CREATE TABLE public.staff (badge_secret text) INHERITS (public.people);
INSERT INTO public.people VALUES (1, 'visitor');
INSERT INTO public.staff VALUES (2, 'staff', :ssn1);

CREATE VIEW public.directory AS SELECT id, name, email AS contact FROM public.customers;
CREATE VIEW public.order_totals AS SELECT customer_id, sum(total) AS total FROM public.orders GROUP BY customer_id;
CREATE MATERIALIZED VIEW public.customer_cache AS SELECT id, name, ssn AS code FROM public.customers;

CREATE FUNCTION public.customer_count() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM public.customers';
CREATE FUNCTION public.order_total(customer integer) RETURNS numeric LANGUAGE sql STABLE
  AS 'SELECT sum(total) FROM public.orders WHERE customer_id = customer';
CREATE FUNCTION public.email_of(customer integer) RETURNS text LANGUAGE sql STABLE
  AS 'SELECT email FROM public.customers WHERE id = customer';
CREATE FUNCTION public.purge(customer integer) RETURNS void LANGUAGE plpgsql
  AS 'BEGIN DELETE FROM public.orders; END';
CREATE FUNCTION public.run_text(command text) RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE command; END';
CREATE FUNCTION public.hidden_drop() RETURNS integer LANGUAGE plpgsql
  AS $$BEGIN EXECUTE 'dr' || 'op table public.orders'; RETURN 1; END$$;
CREATE PROCEDURE public.wipe() LANGUAGE sql AS 'TRUNCATE public.carts';
CREATE OPERATOR public.~!~ (FUNCTION = public.order_total, RIGHTARG = integer);
CREATE FUNCTION public.wipe_carts(integer, integer) RETURNS boolean LANGUAGE plpgsql
  AS 'BEGIN DELETE FROM public.carts; RETURN true; END';
CREATE OPERATOR public.=!= (FUNCTION = public.wipe_carts, LEFTARG = integer, RIGHTARG = integer);

CREATE FUNCTION public.touch_cart() RETURNS trigger LANGUAGE plpgsql
  AS $$BEGIN NEW.note := coalesce(NEW.note, 'none'); RETURN NEW; END$$;
CREATE TRIGGER cart_note BEFORE INSERT OR UPDATE ON public.carts FOR EACH ROW EXECUTE FUNCTION public.touch_cart();

-- Code of the owner's that says more than it should: whatever it raises or sends must not quote a masked value.
CREATE TABLE public.tickets (id integer PRIMARY KEY, what text);
INSERT INTO public.tickets VALUES (1, 'open'), (2, 'done');
CREATE FUNCTION public.indiscreet() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE secret text; pay text;
BEGIN
  EXECUTE 'SELECT ssn, email FROM public.cust' || 'omers WHERE id = 1' INTO secret, pay;
  CASE NEW.what
    WHEN 'notice' THEN RAISE NOTICE '%', secret USING ERRCODE = '42P01', DETAIL = pay, HINT = secret;
    WHEN 'warning' THEN RAISE WARNING '%', secret;
    WHEN 'error' THEN RAISE EXCEPTION '%', secret USING ERRCODE = '3F000', SCHEMA = secret;
    WHEN 'names' THEN RAISE EXCEPTION 'no' USING ERRCODE = '42P01', TABLE = secret, COLUMN = pay, DATATYPE = secret,
      CONSTRAINT = pay;
    WHEN 'code' THEN RAISE EXCEPTION 'no' USING ERRCODE = upper(left(replace(secret, '-', ''), 5));
    WHEN 'dynamic' THEN EXECUTE 'SELECT "' || secret || '"';
    WHEN 'syntax' THEN EXECUTE secret;
    WHEN 'cast' THEN PERFORM secret::integer;
    WHEN 'name' THEN PERFORM secret::regclass;
    WHEN 'notify' THEN PERFORM pg_notify('tickets', secret);
    ELSE NULL;
  END CASE;
  RETURN NEW;
END$$;
CREATE TRIGGER ticket BEFORE UPDATE ON public.tickets FOR EACH ROW EXECUTE FUNCTION public.indiscreet();
CREATE FUNCTION public.folded(n integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE secret text;
BEGIN
  EXECUTE 'SELECT ssn FROM public.cust' || 'omers WHERE id = 1' INTO secret;
  RAISE EXCEPTION '%', secret USING ERRCODE = '42P01';
END$$;
CREATE VIEW public.broken AS SELECT id, public.folded(1) AS n FROM public.orders;
CREATE TABLE public.badges (ssn text PRIMARY KEY);
INSERT INTO public.badges SELECT ssn FROM public.customers;
ALTER TABLE public.customers ADD CONSTRAINT badge FOREIGN KEY (ssn) REFERENCES public.badges (ssn)
  DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE public.mailbox (address text PRIMARY KEY, owner text);
INSERT INTO public.mailbox VALUES (:email1, 'ada'), (:email2, 'ben');
CREATE TABLE public.letters (id integer, address text REFERENCES public.mailbox (address));
CREATE VIEW public.mailbox_view AS SELECT address, owner FROM public.mailbox;
ANALYZE;
