-- What PostgreSQL is given in place of the statements of the same name in queries.sql.

-- name: agents_held
SELECT id, status, api_key_hash FROM agents
WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(:ids AS json)));

-- name: sessions_held
SELECT token_hash FROM hive_sessions
WHERE token_hash IN (SELECT value FROM json_array_elements_text(CAST(:hashes AS json))) AND expires_at > :now;

-- name: search_tasks
SELECT l.*, page.tier FROM (
    SELECT found.id, found.tier FROM (
        SELECT t.id, CASE WHEN t.words @@ to_tsquery('simple', :weighed) THEN 1 ELSE 0 END AS tier
        FROM hive_tasks t
        WHERE t.words @@ to_tsquery('simple', :words)
          AND t.status = :status AND t.budget_credits BETWEEN :min_budget AND :max_budget
          AND (CAST(:category AS BIGINT) IS NULL OR t.category_id = :category)) found
    WHERE (found.tier, found.id) < (:tier, :id) ORDER BY found.tier DESC, found.id DESC LIMIT :count) page
JOIN hive_task_lines l ON l.id = page.id ORDER BY page.tier DESC, page.id DESC;
