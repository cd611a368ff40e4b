#!/bin/sh
# Deletes Jaeger's daily indices (waybill-jaeger-span-2026-11-21) once they are older than KEEP_DAYS, and looks again each hour.
set -eu
while :; do
  oldest=$(date -u -d "@$(($(date +%s) - KEEP_DAYS * 86400))" +%Y-%m-%d)
  indices=$(curl -fsS --retry 5 --retry-all-errors "$ELASTICSEARCH/_cat/indices/waybill-jaeger-*?h=index") || indices=
  for index in $indices; do
    day=$(printf '%s' "$index" | sed -n 's/^.*-\([0-9]\{4\}-[0-9]\{2\}-[0-9]\{2\}\)$/\1/p')
    # Days written like this sort as they follow each other.
    if [ -n "$day" ] && expr "$day" '<' "$oldest" >/dev/null; then
      curl -fsS -X DELETE "$ELASTICSEARCH/$index" >/dev/null && echo "deleted $index"
    fi
  done
  [ -z "${ONCE:-}" ] || exit 0
  sleep 3600
done
