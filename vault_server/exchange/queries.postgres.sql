-- What PostgreSQL cannot share with SQLite; the same names as in queries.sql.

-- Which transactions are not over in this view of the rows: those from `oldest` on, and none that began from `next` on.
-- name: running_transactions^
SELECT CAST(CAST(pg_snapshot_xmin(s) AS TEXT) AS BIGINT) AS oldest,
       CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT) AS next FROM pg_current_snapshot() s;

-- Who finds that another node is at it does not wait: it will be done.
-- name: take_deadline!
DELETE FROM deadlines WHERE (name, subject) IN (
    SELECT name, subject FROM deadlines WHERE name = :name AND subject = :subject AND due <= :now
    /*for update skip locked*/);
