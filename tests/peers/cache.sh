# What the `find` scripts share: the cache folder, messages, installing, building with Go.
# Sourced, never run. A `find` script prints `path<TAB>version` on stdout, tells its progress on stderr, and ends with 69
# (EX_UNAVAILABLE) after one line with the reason when its peer cannot be had.
set -euo pipefail

CACHE=${WAYBILL_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/waybill/peers}

say() { printf '%s\n' "$*" >&2; }
absent() { say "$*"; exit 69; }
have() { command -v "$1" >/dev/null 2>&1; }
found() { printf '%s\t%s\n' "$1" "$2"; exit 0; }

# Short name of what the given files hold, so that a changed pin is a new entry of the cache.
pins() { cat -- "$@" | sha256sum | cut -c1-12; }

# Installs Debian packages where that is possible; silent about nothing.
apt_install() {
  have apt-get || { say "no apt-get here to install $* with"; return 1; }
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    have sudo || { say "neither root nor sudo here to install $* with"; return 1; }
    sudo=(sudo -n)
  fi
  say "installing $*"
  "${sudo[@]}" apt-get update -qq >&2 &&
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "$@" >&2
}

# go_build NAME OUT PACKAGE: builds PACKAGE of the module in the current folder, with its own go.sum and nothing newer.
go_build() {
  local name=$1 out=$2 package=$3
  have go || absent "$name has to be built, and there is no Go here (https://go.dev/dl)"
  say "building $name with $(go env GOVERSION); the first time takes some minutes"
  mkdir -p "$(dirname "$out")"
  nice env CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags="-s -w" -o "$out.part" "$package" >&2 ||
    absent "$name could not be built (see above)"
  mv "$out.part" "$out"
}
