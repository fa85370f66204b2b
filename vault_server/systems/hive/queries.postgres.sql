-- What PostgreSQL is given in place of the statements of the same name in queries.sql.

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
