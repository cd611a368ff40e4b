#!/bin/sh
# Tells Elasticsearch how long logs are kept, and Kibana what there is to look at. Running it again changes nothing.
set -eu
ask() { curl --fail-with-body --silent --show-error --retry 10 --retry-all-errors --retry-delay 3 --max-time 60 "$@"; echo; }
json='Content-Type: application/json'

ask -X PUT "$ELASTICSEARCH/_ilm/policy/waybill-logs" -H "$json" --data-binary @/etc/waybill/elasticsearch/ilm-policy.json
ask -X PUT "$ELASTICSEARCH/_component_template/logs-otel@custom" -H "$json" --data-binary @/etc/waybill/elasticsearch/logs-otel-custom.json
# An index that was made before the template takes its settings up with the next rollover.
if curl -fsS -o /dev/null "$ELASTICSEARCH/_data_stream/logs-waybill.otel-default" 2>/dev/null; then
  ask -X POST "$ELASTICSEARCH/logs-waybill.otel-default/_rollover"
fi

answer=$(ask -X POST "$KIBANA/api/saved_objects/_import?overwrite=true" -H 'kbn-xsrf: waybill' -F file=@/etc/waybill/waybill.ndjson)
echo "$answer"
# The answer is 200 even when objects were refused.
case $answer in *'"success":true'*) ;; *) echo "Kibana did not take all saved objects" >&2; exit 1 ;; esac
