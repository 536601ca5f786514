-- Code that a database's owner may have installed, and that runs without being named. What it does is no agent's business.
CREATE EXTENSION citext;
CREATE EXTENSION dblink;
CREATE EXTENSION tablefunc;
CREATE EXTENSION pageinspect;
CREATE EXTENSION tsm_system_rows;

CREATE FUNCTION public.wipe_orders() RETURNS integer LANGUAGE sql AS 'DELETE FROM public.orders; SELECT 1';
CREATE FUNCTION public.lying() RETURNS integer IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN public.wipe_orders(); END';
CREATE FUNCTION public.definer() RETURNS integer SECURITY DEFINER LANGUAGE sql AS 'SELECT public.wipe_orders()';

-- in PostgreSQL's own schema
CREATE FUNCTION pg_catalog.innocent(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql
  AS 'BEGIN RETURN public.wipe_orders(); END';
CREATE OPERATOR pg_catalog.<==> (FUNCTION = public.wipe_carts, LEFTARG = integer, RIGHTARG = integer);

-- operators with names of builtin ones
CREATE FUNCTION public.compares(boolean, integer) RETURNS boolean LANGUAGE plpgsql
  AS 'BEGIN DELETE FROM public.carts; RETURN true; END';
CREATE OPERATOR public.= (FUNCTION = public.compares, LEFTARG = boolean, RIGHTARG = integer);
CREATE OPERATOR public.>= (FUNCTION = public.compares, LEFTARG = boolean, RIGHTARG = integer);
CREATE OPERATOR public.<= (FUNCTION = public.compares, LEFTARG = boolean, RIGHTARG = integer);
CREATE OPERATOR public.~~ (FUNCTION = public.compares, LEFTARG = boolean, RIGHTARG = integer);

-- types
CREATE TYPE public.mood AS ENUM ('fine', 'bad');
CREATE FUNCTION public.to_mood(integer) RETURNS public.mood LANGUAGE plpgsql
  AS $$BEGIN DELETE FROM public.orders; RETURN 'fine'; END$$;
CREATE CAST (integer AS public.mood) WITH FUNCTION public.to_mood(integer);
CREATE FUNCTION public.checks(text) RETURNS boolean LANGUAGE plpgsql
  AS 'BEGIN DELETE FROM public.orders; RETURN true; END';
CREATE DOMAIN public.checked AS text CHECK (public.checks(VALUE));
CREATE TYPE public.holder AS (value public.checked);
CREATE FUNCTION public.is_short(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT length($1) < 10';
CREATE DOMAIN public.short AS text CHECK (public.is_short(VALUE));

-- tables
CREATE TABLE public.secured (id integer);
INSERT INTO public.secured VALUES (1);
ALTER TABLE public.secured ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION public.passes(integer) RETURNS boolean LANGUAGE plpgsql
  AS 'BEGIN DELETE FROM public.orders; RETURN true; END';
CREATE POLICY secured ON public.secured USING (public.passes(id));
CREATE TABLE public.doubled (id integer PRIMARY KEY, single integer, twice integer GENERATED ALWAYS AS (single * 2));
INSERT INTO public.doubled VALUES (1, 21);
CREATE FUNCTION public.sums(integer, integer) RETURNS integer LANGUAGE plpgsql
  AS 'BEGIN DELETE FROM public.orders; RETURN 1; END';
CREATE AGGREGATE public.sum_up (integer) (SFUNC = public.sums, STYPE = integer, INITCOND = '0');
