# How each peer is found, started and stopped. Sourced by `run`.
#
# provide_NAME sets `version` and exports what the tests read; it returns 1, with `reason` set, when the peer cannot be had.
# What was started is stopped by stop_peers after the suite, so that each suite meets an empty peer.

peers=$root/tests/peers
started=()
leftovers=()

# find_peer NAME: sets `path` and `version`, or `reason`.
find_peer() {
  local answer log=$work/find-$1.log
  if answer=$("$peers/$1/find" 2> >(tee "$log" >&2)); then
    IFS=$'\t' read -r path version <<<"$answer"
  else
    reason=$(tail -n 1 "$log"); reason=${reason:-$1 cannot be had}
    return 1
  fi
}

# A port that nobody listens on, outside the range from which the kernel hands out its own.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    [[ " ${taken[*]:-} " == *" $port "* ]] && continue
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { taken+=("$port"); echo "$port"; return; }
  done
}

# await NAME URL PID: until URL answers 2xx; says where the log is when the process ends or 120 s pass.
await() {
  local name=$1 url=$2 pid=$3 end=$((SECONDS + 120))
  until curl -fsS -o /dev/null --max-time 2 "$url" 2>/dev/null; do
    kill -0 "$pid" 2>/dev/null || { reason="$name ended at once: $(tail -n 1 "$work/$name.log")"; return 1; }
    [ $SECONDS -lt $end ] || { reason="$name did not answer within 120 s (log: $work/$name.log)"; return 1; }
    sleep 0.2
  done
}

stop_peers() {
  local pid
  # all at once: none of them is needed after the suite
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  started=()
  [ ${#leftovers[@]} -eq 0 ] || rm -rf -- "${leftovers[@]}"
  leftovers=()
}

# Sets JAEGER_QUERY, JAEGER_OTLP (HTTP) and JAEGER_OTLP_GRPC.
provide_jaeger() {
  find_peer jaeger || return 1
  version="Jaeger $version"
  local query otlp grpc health
  query=$(free_port); otlp=$(free_port); grpc=$(free_port); health=$(free_port)
  # Without the first, Jaeger traces itself and its own spans join the answers.
  env OTEL_TRACES_SAMPLER=always_off JAEGER_QUERY_PORT="$query" JAEGER_OTLP_PORT="$otlp" JAEGER_HEALTH_PORT="$health" \
    JAEGER_QUERY_GRPC_PORT="$(free_port)" JAEGER_OTLP_GRPC_PORT="$grpc" \
    "$path" --config "$peers/jaeger/memory.yaml" >"$work/jaeger.log" 2>&1 &
  started+=($!)
  await jaeger "http://127.0.0.1:$query/api/services" $! || return 1
  export JAEGER_QUERY=127.0.0.1:$query JAEGER_OTLP=127.0.0.1:$otlp JAEGER_OTLP_GRPC=127.0.0.1:$grpc
}

provide_opensearch() {
  find_peer opensearch || return 1
  version="OpenSearch $version"
  local port transport home java run=()
  java=$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")
  port=$(free_port); transport=$(free_port)
  home=$(mktemp -d /tmp/waybill-opensearch-XXXXXX)
  leftovers+=("$home")
  cp -r "$path/." "$home"
  # The last setting below: it looks at the disk once, and does not undo the block that a test sets as a full disk would.
  # It refuses to run as root, and nobody else may read root's cache.
  if [ "$(id -u)" -eq 0 ]; then
    chown -R nobody "$home"
    chmod 755 "$home"
    run=(setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups)
  fi
  (cd "$home" && exec "${run[@]}" env HOME="$home" OPENSEARCH_JAVA_HOME="$java" OPENSEARCH_JAVA_OPTS="-Xms512m -Xmx512m" \
    bin/opensearch -E network.host=127.0.0.1 -E http.port="$port" -E transport.port="$transport" \
    -E discovery.type=single-node -E cluster.info.update.interval=1h) >"$work/opensearch.log" 2>&1 &
  started+=($!)
  await opensearch "http://127.0.0.1:$port/_cluster/health" $! || return 1
  export OPENSEARCH_URL=http://127.0.0.1:$port
}

# program NAME CALLED VARIABLE: the program only, in VARIABLE: the tests start it as often as they like.
program() { find_peer "$1" && version="$2 $version" && export "$3=$path"; }
provide_jaeger_program() { program jaeger Jaeger JAEGER_PROGRAM; }
provide_opensearch_program() { program opensearch OpenSearch OPENSEARCH_HOME; }
provide_otelcol() { program otelcol collector OTELCOL; }
provide_telemetrygen() { program telemetrygen telemetrygen TELEMETRYGEN; }
provide_nats() { program nats NATS NATS_SERVER; }
provide_postgres() { program postgres PostgreSQL POSTGRES_BIN; }

provide_node() {
  find_peer node || return 1
  version="OpenTelemetry SDK for Node.js $version"
  export COURIER_DESK=$path/desk.js
}

# The engine that answers, or one of our own with nothing in it: images and volumes stay out of everyone else's.
provide_docker() {
  local data=${WAYBILL_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/waybill/peers}/docker/data
  if ! "${DOCKER:-docker}" info >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ] && command -v dockerd >/dev/null; then
    # Paths of sockets may not be long.
    local run socket
    run=$(mktemp -d /tmp/waybill-docker-XXXXXX)
    leftovers+=("$run")
    socket=$run/docker.sock
    mkdir -p "$data"
    dockerd --data-root "$data" --exec-root "$run" --pidfile "$run/pid" -H "unix://$socket" >"$work/dockerd.log" 2>&1 &
    started+=($!)
    for _ in $(seq 60); do
      DOCKER_HOST=unix://$socket "${DOCKER:-docker}" info >/dev/null 2>&1 && { export DOCKER_HOST=unix://$socket; break; }
      sleep 0.5
    done
  fi
  find_peer docker || return 1
  version="Docker $version"
  export DOCKER=$path
}
