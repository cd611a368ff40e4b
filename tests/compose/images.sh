# Images for tests/compose/run where none can be pulled: the real programs, built from source or Debian's, in images that take the
# place of the published ones. Sourced by `run`, which sets $docker, $work and $binary.

# image NAME PROGRAM: PROGRAM alone in an empty image, as the published ones have it.
image() {
  rm -rf "${work:?}/$1" && mkdir -p "$work/$1" && cp "$2" "$work/$1/$1"
  printf 'FROM scratch\nCOPY %s /%s\nUSER 10001\nENTRYPOINT ["/%s"]\n' "$1" "$1" "$1" >"$work/$1/Dockerfile"
  "$docker" build -q -t "waybill-test/$1" "$work/$1" >/dev/null
}

# peer NAME: sets `path`, or ends the run with the reason.
peer() {
  local found
  found=$("tests/peers/$1/find") || fail "$1 cannot be had"
  say "$1: ${found#*$'\t'}"
  path=${found%%$'\t'*}
}

# Ours: the Dockerfile's last stage, around a binary that was built outside.
image_waybill() {
  rm -rf "${work:?}/waybill" && mkdir -p "$work/waybill/data"
  cp "$binary" "$work/waybill/waybill"
  cp /etc/ssl/certs/ca-certificates.crt "$work/waybill/"
  "$docker" build -q -t waybill-test/waybill --build-arg BINARY=prebuilt -f Dockerfile "$work/waybill" >/dev/null
}

# The base of those that need a shell and libraries.
image_debian() {
  local tag
  peer debian
  tag=waybill-test/debian:$(basename "$path" .tar)
  "$docker" image inspect "$tag" >/dev/null 2>&1 || "$docker" import "$path" "$tag" >/dev/null
  "$docker" tag "$tag" waybill-test/debian
}

image_postgres() {
  rm -rf "${work:?}/postgres" && mkdir -p "$work/postgres" && cp tests/compose/standin/postgres.sh "$work/postgres/"
  printf 'FROM waybill-test/debian\nCOPY --chmod=755 postgres.sh /entry\nENTRYPOINT ["/entry"]\n' >"$work/postgres/Dockerfile"
  "$docker" build -q -t waybill-test/postgres "$work/postgres" >/dev/null
}

# In Elasticsearch's folder and with its user, so that the volume and the limits of compose.scale.yaml meet the same.
image_opensearch() {
  peer opensearch
  rm -rf "${work:?}/opensearch" && mkdir -p "$work/opensearch" && cp tests/compose/standin/opensearch.sh "$work/opensearch/"
  cp -r "$path" "$work/opensearch/home" && mkdir -p "$work/opensearch/home/data" "$work/opensearch/home/logs"
  cat >"$work/opensearch/Dockerfile" <<'DOCKERFILE'
FROM waybill-test/debian
COPY --chown=1000:0 home /usr/share/elasticsearch
COPY --chmod=755 opensearch.sh /entry
USER 1000:0
ENTRYPOINT ["/entry"]
DOCKERFILE
  "$docker" build -q -t waybill-test/opensearch "$work/opensearch" >/dev/null
}

# images PROFILE: builds what the profile needs and names it to Compose.
images() {
  image_waybill
  peer otelcol && image otelcol "$path"
  peer jaeger && image jaeger "$path"
  export WAYBILL_IMAGE=waybill-test/waybill COLLECTOR_IMAGE=waybill-test/otelcol JAEGER_IMAGE=waybill-test/jaeger
  [ "$1" = scale ] || return 0
  image_debian
  image_postgres
  image_opensearch
  peer nats && image nats "$path"
  export POSTGRES_IMAGE=waybill-test/postgres ELASTICSEARCH_IMAGE=waybill-test/opensearch NATS_IMAGE=waybill-test/nats \
    CURL_IMAGE=waybill-test/debian
}
