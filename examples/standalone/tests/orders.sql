CREATE TABLE customers (id integer PRIMARY KEY, name text NOT NULL, email text, ssn text, card text, phone text);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, total numeric(10, 2), placed date);
CREATE TABLE carts (id integer PRIMARY KEY, customer_id integer REFERENCES customers, items jsonb DEFAULT '[]');
CREATE VIEW contacts AS SELECT id, name, email AS address FROM customers;
