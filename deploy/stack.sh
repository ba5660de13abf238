#!/usr/bin/env bash
# The local stack of docker-compose.yml: up, down, clean, demo, status, logs. `make` calls it.
#
# COMPOSE_PROJECT_NAME and STACK_ENV (the file of settings and secrets, .env by default) make another one.
set -euo pipefail
cd "$(dirname "$0")/.."
env_file=${STACK_ENV:-.env}

say() { printf '%s\n' "$*" >&2; }
fail() { say "stack: $*"; exit 2; }

compose() { docker compose --env-file "$env_file" "$@"; }

need_docker() {
  command -v docker >/dev/null ||
    fail "Docker is not installed; install Docker Engine with Compose v2 (https://docs.docker.com/engine/install), or run everything without it: make demo"
  local version answer
  version=$(docker compose version --short 2>/dev/null || true)
  case ${version#v} in
    '') fail "this Docker has no Compose v2 (docker-compose v1 is another program, and too old); install the package docker-compose-plugin" ;;
    1.*) fail "Compose $version is too old; install the package docker-compose-plugin (v2)" ;;
  esac
  answer=$(docker info --format '{{.ServerVersion}}' 2>&1) ||
    fail "the Docker engine does not answer (${answer##*$'\n'}); start it (sudo systemctl start docker, or Docker Desktop), and see that you may use it (sudo usermod -aG docker \$USER, then log in again)"
}

need_stack() { [ -f "$env_file" ] || fail "there is no $env_file: no stack was made here yet; make up"; }

secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# Settings and secrets of this machine's stack: drawn once, kept for their owner alone.
make_env() {
  [ -f "$env_file" ] && return
  local volumes
  volumes=$(ours volume | xargs)
  [ -z "$volumes" ] ||
    fail "there is data of an earlier stack, and $env_file with its passwords is gone; bring the file back, or remove the data: docker volume rm $volumes"
  (
    umask 077
    cat >"$env_file.tmp" <<ENV
# Made by \`make up\` for this machine; it holds passwords, so it stays here. Never commit it.
MINIO_ROOT_USER=root-$(od -An -N4 -tx1 /dev/urandom | tr -d ' \n')
MINIO_ROOT_PASSWORD=$(secret)
BUCKET_ACCESS_KEY=carousel-$(od -An -N4 -tx1 /dev/urandom | tr -d ' \n')
BUCKET_SECRET_KEY=$(secret)
POSTGRES_PASSWORD=$(secret)
PREFECT_DB_PASSWORD=$(secret)
CATALOG_DB_PASSWORD=$(secret)
PREFECT_AUTH=carousel:$(secret)

# Ports, all on 127.0.0.1; change one that is taken.
PREFECT_PORT=${PREFECT_PORT:-4200}
S3_PORT=${S3_PORT:-9000}
S3_CONSOLE_PORT=${S3_CONSOLE_PORT:-9001}

# Memory limits. Training takes about 1 GB per rank; the demo has two.
WORKER_MEMORY=${WORKER_MEMORY:-4g}
ENV
    # Where the image gets PyTorch: PyPI's CPU index, unless make's PIP_TORCH says otherwise.
    if [ -n "${PIP_TORCH+given}" ]; then echo "PIP_TORCH=\"$PIP_TORCH\"" >>"$env_file.tmp"; fi
  )
  mv "$env_file.tmp" "$env_file"
  say "made $env_file with this machine's own passwords"
}

# Names of this stack's containers, networks or volumes, whether it runs or not.
ours() {
  local all=()
  [ "$1" != container ] || all=(--all)
  docker "$1" ls "${all[@]}" --quiet --filter "label=com.docker.compose.project=${COMPOSE_PROJECT_NAME:-carousel}"
}

setting() { sed -n "s/^$1=//p" "$env_file"; }

# A port that somebody else holds is told before anything is started.
check_ports() {
  local name port
  [ -z "$(compose ps --quiet 2>/dev/null)" ] || return 0
  for name in PREFECT_PORT S3_PORT S3_CONSOLE_PORT; do
    port=$(setting $name)
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      fail "port $port of this machine is taken; choose another one for $name in $env_file"
    fi
  done
}

where() {
  cat <<WHERE
  runs, schedules, logs   http://127.0.0.1:$(setting PREFECT_PORT)   (asks for PREFECT_AUTH of $env_file)
  tables, checkpoints     http://127.0.0.1:$(setting S3_CONSOLE_PORT)   (BUCKET_ACCESS_KEY and BUCKET_SECRET_KEY of $env_file)
  S3                      http://127.0.0.1:$(setting S3_PORT)
  commands                docker compose exec worker carousel checkpoints list
  reports, to this folder docker compose cp worker:/var/lib/carousel/reports .
  stop, the data stay     make down
WHERE
}

up() {
  make_env
  check_ports
  compose build
  compose up --detach --wait --wait-timeout 300 "$@" ||
    fail "the stack did not come up; see which part: make stack-status, make stack-logs"
  say "the stack is up:"
  where >&2
}

down() { need_stack; compose down; say "the stack is down; its data stay (make up goes on, make clean removes them)"; }

# Everything that this checkout has made: the stack's volumes, its .env, and the commands' .carousel.
clean() {
  local volumes='' sizes volume answer root=${CAROUSEL_ROOT:-.carousel} carousel=${BIN:-.venv/bin}/carousel
  # Without Docker there is no stack; with an .env there was one, and its data must not be forgotten.
  if [ -f "$env_file" ]; then need_docker; fi
  if docker info >/dev/null 2>&1; then volumes=$(ours volume); fi
  if [ -z "$volumes" ] && [ ! -f "$env_file" ] && [ ! -d "$root" ]; then say "there is nothing to remove"; return; fi
  if [ -d "$root" ] && [ ! -x "$carousel" ]; then fail "$carousel, which removes $root, is not installed: make setup"; fi
  say "this removes, with all tables, checkpoints and history in them:"
  if [ -n "$volumes" ]; then
    sizes=$(docker system df --verbose --format '{{range .Volumes}}{{println .Name .Size}}{{end}}')
    for volume in $volumes; do
      say "  volume $volume: $(awk -v name="$volume" '$1 == name { print $2 }' <<<"$sizes")"
    done
  fi
  if [ -d "$root" ]; then say "  folder $root: $(du -sh "$root" | cut -f1)"; fi
  if [ "${FORCE:-}" != 1 ]; then
    [ -t 0 ] || fail "nothing was removed: there is no terminal to ask at; FORCE=1 answers yes"
    read -r -p "type yes to remove them: " answer
    [ "$answer" = yes ] || { say "nothing was removed"; exit 1; }
  fi
  if docker info >/dev/null 2>&1; then
    # By label, not by Compose: it refuses its file without the passwords, and .env may be gone.
    ours container | xargs -r docker rm --force >/dev/null
    ours network | xargs -r docker network rm >/dev/null
    ours volume | xargs -r docker volume rm >/dev/null
  fi
  if [ -d "$root" ]; then "$carousel" --root "$root" clean --all --yes >/dev/null; fi
  rm -f "$env_file"
  say "removed"
}

demo() {
  need_stack
  [ -n "$(compose ps --quiet --status running worker)" ] || fail "the stack is not up; make up"
  local began=$SECONDS
  # From the server's container: it lives on when the worker's is killed.
  compose exec -T prefect python -m pipelines.deployed.follow demo-stack/demo "$@"
  say "done in $((SECONDS - began)) s; look at it:"
  where >&2
}

command=${1:-}
shift || true
[ "$command" = clean ] || need_docker
case $command in
  up) up "$@" ;;
  down) down ;;
  clean) clean ;;
  demo) demo "$@" ;;
  status) need_stack; compose ps --all ;;
  logs) need_stack; compose logs --follow --tail 100 "$@" ;;
  *) fail "say up, down, clean, demo, status or logs" ;;
esac
