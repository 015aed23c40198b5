-- What is kept, divided by hash of the namespace: the unit of order, quota and partitioning.
--
-- Keys and namespaces are compared by code point (COLLATE "C"). Values are TEXT: JSONB would reorder
-- members, round numbers and refuse "\u0000". The columns mean what botwire/stores/base.py says.
-- `version` orders all changes of a namespace, so a log of changes can be added beside `entries`.

CREATE TABLE botwire.namespaces (
    namespace text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL DEFAULT 0,
    entries bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    day bigint NOT NULL DEFAULT 0,
    writes bigint NOT NULL DEFAULT 0
) PARTITION BY HASH (namespace);

CREATE TABLE botwire.entries (
    namespace text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    bytes bigint NOT NULL,
    created_at float8 NOT NULL,
    updated_at float8 NOT NULL,
    expires_at float8,
    ttl float8,
    sliding smallint NOT NULL,
    head bigint NOT NULL,
    mid bigint NOT NULL,
    "end" bigint NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (namespace, key)
) PARTITION BY HASH (namespace);

CREATE INDEX entries_expiry ON botwire.entries (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE botwire.chunks (
    namespace text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    start bigint NOT NULL,
    count bigint NOT NULL,
    text text NOT NULL,
    PRIMARY KEY (namespace, key, start)
) PARTITION BY HASH (namespace);

CREATE TABLE botwire.replies (
    namespace text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    fingerprint text NOT NULL,
    reply text NOT NULL,
    expires_at float8 NOT NULL,
    PRIMARY KEY (namespace, idempotency_key)
) PARTITION BY HASH (namespace);

CREATE INDEX replies_expiry ON botwire.replies (expires_at);

-- A namespace's row and its entries are written again and again: room on the page keeps a new
-- state beside the old one, so that no index has to be touched. Each partition costs every statement
-- some microseconds, so there are no more of them than a large memory needs.
DO $$
DECLARE
    layout record;
BEGIN
    FOR layout IN VALUES ('namespaces', 4, 50), ('entries', 8, 80), ('chunks', 8, 100),
        ('replies', 8, 100)
    LOOP
        FOR part IN 0..layout.column2 - 1 LOOP
            EXECUTE format('CREATE TABLE botwire.%1$s_%2$s PARTITION OF botwire.%1$s'
                ' FOR VALUES WITH (MODULUS %3$s, REMAINDER %2$s) WITH (fillfactor = %4$s)',
                layout.column1, part, layout.column2, layout.column3);
        END LOOP;
    END LOOP;
END $$;

-- The time of all servers is the database's clock plus `ahead`, which grows when that clock is set
-- back; `seen` is a moment that has certainly been.
CREATE TABLE botwire.time (ahead float8 NOT NULL, seen float8 NOT NULL);
INSERT INTO botwire.time VALUES (0, 0);
