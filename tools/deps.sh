#!/bin/sh
# Installs what the integration tests need and the machine lacks: redis-server,
# Sidekiq, ActiveJob, Rails, Node, groff and Chromium with the system's package manager; moto, the AWS CLI,
# the SAM CLI, cfn-lint, several Rubies and, on Debian and its derivatives,
# Prometheus into .deps.
set -eu
cd "$(dirname "$0")/.."

has() { command -v "$1" >/dev/null 2>&1; }
has_gem() { has ruby && ruby -e "require '$1'" >/dev/null 2>&1; }

missing=
has redis-server || missing="$missing redis-server"
{ has sidekiq && has_gem sidekiq; } || missing="$missing ruby-sidekiq"
has_gem active_job || missing="$missing ruby-activejob"
has_gem rails || missing="$missing ruby-railties"
has node || missing="$missing nodejs"
has npm || missing="$missing npm"
python3 -c 'import ensurepip' >/dev/null 2>&1 || missing="$missing python3-venv"
has groff || missing="$missing groff-base"

has chromium || has chromium-browser || has google-chrome || missing="$missing chromium"

if has apt-get; then # elsewhere, the tests of the packages cannot run
	has rpm || missing="$missing rpm"
	has systemd-analyze || missing="$missing systemd"
fi

if [ -n "$missing" ]; then
	echo "Installing for the tests:$missing"
	if has apt-get && [ "$(id -u)" = 0 ]; then
		apt-get update -q
		# shellcheck disable=SC2086 # a list
		DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
	elif has brew; then
		has redis-server || brew install redis
		has ruby || brew install ruby
		has python3 || brew install python
		has npm || brew install node
		has groff || brew install groff
		has chromium || has google-chrome || echo "Install Chromium or Chrome to test the page of scout dev" >&2
		has_gem sidekiq || gem install sidekiq -v '~> 7.3'
		has_gem active_job || gem install activejob -v '~> 7.2'
		has_gem rails || gem install railties -v '~> 7.2'
	else
		echo "Cannot install them without root. On Debian and its derivatives: apt-get install$missing" >&2
		exit 1
	fi
fi

# venv installs tools/NAME.txt into .deps/NAME, unless that was made from the same list.
# The list has everything, so no dependencies are looked up.
venv() {
	cmp -s "tools/$1.txt" ".deps/$1/requirements.txt" && return
	echo "Installing tools/$1.txt into .deps/$1"
	python3 -m venv ".deps/$1"
	".deps/$1/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps -r "tools/$1.txt"
	cp "tools/$1.txt" ".deps/$1/requirements.txt"
}
venv venv
venv sam # on its own, because SAM needs other versions of some packages than moto does

# Versions of Ruby's json that no distribution has together.
if ! cmp -s tools/ruby-wasm/package-lock.json .deps/ruby-wasm/package-lock.json; then
	echo "Installing tools/ruby-wasm into .deps/ruby-wasm"
	rm -rf .deps/ruby-wasm .deps/ruby-wasm.new
	cp -R tools/ruby-wasm .deps/ruby-wasm.new
	(cd .deps/ruby-wasm.new && npm ci --ignore-scripts --no-audit --no-fund --loglevel error)
	find .deps/ruby-wasm.new -name '*.debug+stdlib.wasm' -delete # most of the size
	mv .deps/ruby-wasm.new .deps/ruby-wasm
fi

if has apt-get; then
	tools/debian.sh install sid || echo "NOT INSTALLED: rubyjson will not test the newest json" >&2
fi

# Debian's package is unpacked instead of installed, because it would start a server.
if ! has promtool && ! [ -x .deps/prometheus/usr/bin/promtool ]; then
	echo "Installing for the tests: prometheus"
	if has apt-get; then
		mkdir -p .deps/prometheus
		(
			cd .deps/prometheus
			apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; }
			dpkg -x prometheus_*.deb .
			rm prometheus_*.deb
		)
	elif has brew; then
		brew install prometheus
	else
		echo "Cannot install prometheus and promtool without apt-get or brew" >&2
		exit 1
	fi
fi
echo "Everything that the tests need is installed."
