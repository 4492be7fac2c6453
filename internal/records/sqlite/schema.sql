-- One schema for every store of records. Nothing secret is kept here.
CREATE TABLE IF NOT EXISTS intents (
  id            BLOB PRIMARY KEY CHECK (length(id) = 32),
  act           TEXT NOT NULL,
  initiator     TEXT NOT NULL,
  idempotency   TEXT NOT NULL,
  canonical     BLOB NOT NULL,
  state         TEXT NOT NULL,
  reason        TEXT NOT NULL,
  coordinator   INTEGER NOT NULL,
  attempt       INTEGER NOT NULL,
  result        TEXT NOT NULL,
  raw           BLOB,
  confirmations INTEGER NOT NULL,
  timeline      TEXT NOT NULL,
  created       INTEGER NOT NULL,
  updated       INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS intents_idempotency ON intents (initiator, idempotency) WHERE coordinator = 1;
CREATE INDEX IF NOT EXISTS intents_asked ON intents (initiator, idempotency);
CREATE INDEX IF NOT EXISTS intents_created ON intents (created);

CREATE TABLE IF NOT EXISTS ballots (
  intent   BLOB NOT NULL CHECK (length(intent) = 32),
  voter    INTEGER NOT NULL,
  question TEXT NOT NULL,
  bytes    BLOB NOT NULL,
  PRIMARY KEY (intent, voter, question)
) STRICT;

CREATE TABLE IF NOT EXISTS receipts (
  intent BLOB NOT NULL CHECK (length(intent) = 32),
  node   INTEGER NOT NULL,
  length INTEGER NOT NULL,
  chain  BLOB NOT NULL,
  PRIMARY KEY (intent, node)
) STRICT;

CREATE TABLE IF NOT EXISTS counters (
  name TEXT PRIMARY KEY,
  next INTEGER NOT NULL
) STRICT;

-- Append-only: a row is never changed or removed, and each names the hash of the one before it.
CREATE TABLE IF NOT EXISTS audit_log (
  sequence INTEGER PRIMARY KEY,
  time     INTEGER NOT NULL,
  kind     TEXT NOT NULL,
  intent   BLOB NOT NULL,
  text     TEXT NOT NULL,
  previous BLOB NOT NULL,
  hash     BLOB NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS audit_no_update BEFORE UPDATE ON audit_log BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_no_delete BEFORE DELETE ON audit_log BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
