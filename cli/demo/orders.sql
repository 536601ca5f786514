CREATE TABLE customers (id integer PRIMARY KEY, name text NOT NULL, email text, ssn text, card text, phone text);
INSERT INTO customers VALUES
  (1, 'Ada Okafor', 'ada.okafor@example.org', '411-22-6789', '4111 1111 1111 1111', '+1 555 0100'),
  (2, 'Ben Castillo', 'ben@castillo.example', '412-33-6790', '5500 0000 0000 0004', '+1 555 0101'),
  (3, 'Chen Wei', 'chen.wei@example.net', '413-44-6791', '3400 0000 0000 009', '+1 555 0102');
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, total numeric(10, 2), placed date);
INSERT INTO orders SELECT n, 1 + n % 3, 10 + n * 3.5, date '2026-01-01' + n FROM generate_series(1, 200) n;
CREATE TABLE carts (id integer PRIMARY KEY, customer_id integer REFERENCES customers, items jsonb DEFAULT '[]');
INSERT INTO carts VALUES (1, 1, '["pen"]'), (2, 2, '["ink", "paper"]');
