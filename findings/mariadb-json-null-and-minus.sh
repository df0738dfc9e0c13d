#!/usr/bin/env bash
# MariaDB 10.11 and 11.8: JSON_EQUALS of NULL is NULL in a select list and true in WHERE, and no path
# finds a key that starts with a minus.
#
# `WHERE JSON_EQUALS(doc, '7')` also gives the rows whose document is NULL. JSON_NORMALIZE of both
# sides, compared with =, gives the right ones. `$."-1"` and `$."-a"` find nothing, whatever is
# escaped, while `$."a-1"` does; MySQL 9.7 finds all of them.
#
# Seen with: MariaDB 10.11.19 and 11.8.9.
# Needs: mariadb-server and mariadb-client; writes into a temporary folder only.
set -euo pipefail

folder=$(mktemp -d)
user=()
if ((EUID == 0)); then
    chown mysql "$folder"
    user=(--user=mysql)
fi
mariadb-install-db --no-defaults --datadir="$folder/data" --auth-root-authentication-method=normal \
    "${user[@]}" >/dev/null
PATH=$PATH:/usr/sbin mariadbd --no-defaults --datadir="$folder/data" --socket="$folder/socket" \
    --skip-networking --pid-file="$folder/pid" "${user[@]}" 2>"$folder/log" &
server=$!
trap 'kill "$server"; wait "$server" || true; rm -rf "$folder"' EXIT
for _ in {1..100}; do
    if [[ -S $folder/socket ]]; then break; fi
    sleep 0.2
done

mariadb --no-defaults --socket="$folder/socket" -u root -t <<'SQL'
CREATE DATABASE d;
USE d;
CREATE TABLE j (id INT, doc JSON);
INSERT INTO j VALUES (1, '7'), (2, '8'), (3, NULL), (4, '{"-1": 5, "a-1": 6}');
SELECT id, JSON_EQUALS(doc, '7') FROM j;
SELECT id AS 'id WHERE JSON_EQUALS' FROM j WHERE JSON_EQUALS(doc, '7');
SELECT id AS 'id WHERE JSON_NORMALIZE' FROM j WHERE JSON_NORMALIZE(doc) = JSON_NORMALIZE('7');
SELECT JSON_EXTRACT(doc, '$."-1"'), JSON_EXTRACT(doc, '$."a-1"') FROM j WHERE id = 4;
SQL
