# make demo     run a demonstration of Scout, which requires only Go
# make test     install what the tests need, and run all of them
# make help     list the other targets

GO       ?= go
BIN      ?= bin
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null)
BUILD     = CGO_ENABLED=0 $(GO) build -trimpath
TOOL      = $(GO) tool -modfile=tools/go.mod
SAM      ?= $(or $(wildcard .deps/sam/bin/sam),sam)

# The function needs neither net/rpc nor a symbol table, and its bytes do not
# depend on the commit.
BUILD_LAMBDA = GOOS=linux $(BUILD) -buildvcs=false -tags lambda.norpc -ldflags '-s -w'

.PHONY: help demo build scout bootstrap deps test torture mutants matrix lint fuzz bench aws-test release invoke deploy build-ScoutFunction clean

help:
	@sed -n 's/^# make/make/p' Makefile

demo:
	@echo "Downloading modules and building, which takes a minute or two the first time"
	@$(GO) mod download
	@$(MAKE) --no-print-directory --silent scout
	bin/scout dev --demo --once

# make build    build bin/scout and, for Lambda, bin/bootstrap
build: scout bootstrap

scout:
	$(BUILD) -ldflags '-s -w -X main.version=$(VERSION)' -o "$(BIN)/scout" ./cmd/local

bootstrap:
	$(BUILD_LAMBDA) -o bin/bootstrap ./cmd/lambda

# make deps     install what the tests need: Redis, Sidekiq, moto, the AWS and SAM CLIs, Prometheus
deps:
	@tools/deps.sh

# The tests wait more than they compute, so more of them than there are
# processors run at a time.
test:
	@echo "make test: step 1 of 2: installing what the tests need"
	@$(MAKE) --no-print-directory deps
	@echo "make test: step 2 of 2: testing $$($(GO) list -tags integration ./... | wc -l) packages with the race detector, which takes some minutes."
	@echo "A line appears for each package that is done. To run only the tests that need nothing but Go: go test ./..."
	$(GO) test -race -count 1 -parallel 6 -timeout 30m -tags integration ./...

# make matrix   run jobs with Sidekiq 6.4, 7.3 and 8 on Redis 7.0, Redis 8 and Valkey, from Debian's releases
matrix:
	@tools/debian.sh install bookworm
	@tools/debian.sh install trixie
	@tools/debian.sh install sid || test -z "$(NIGHTLY)"
	$(GO) test -race -count 1 -parallel 6 -timeout 30m -tags integration,matrix -run '^TestMatrix$$' -v ./internal/test/e2e
	@test -d .deps/debian/sid || echo "NOT RUN: Sidekiq 8, because Debian sid could not be installed" >&2

# make torture  run Scout for 15 minutes while Redis, SQS and Scout fail, and check each message; SHORT=1: 3 minutes
torture: deps
	$(GO) test -tags torture -count 1 -timeout 0 -run '^TestTorture$$' -v $(if $(SHORT),-short) ./internal/test/torture -args \
	  $(if $(SEED),-seed $(SEED)) $(if $(MESSAGES),-messages $(MESSAGES)) $(if $(KILLS),-kills $(KILLS)) \
	  $(if $(REDIS_KILLS),-redis-kills $(REDIS_KILLS)) $(if $(FAILOVERS),-failovers $(FAILOVERS)) $(if $(WAIT),-wait $(WAIT)) \
	  $(if $(FAULTS),-faults '$(FAULTS)') $(if $(KEEP),-keep "$(if $(filter /%,$(firstword $(KEEP))),,$(CURDIR)/)$(KEEP)")

# make mutants  check that make torture detects deliberate faults in Scout
mutants: deps
	$(GO) test -tags torture -count 1 -timeout 0 -run '^TestMutants$$' -v ./internal/test/torture -args $(if $(SEED),-seed $(SEED))

# make aws-test run the tests that need an AWS account; see CONTRIBUTING.md
aws-test:
	$(GO) test -tags aws -run TestOnAWS -count 1 -v ./cmd/local

# make lint     run gofmt, vet, staticcheck, govulncheck and actionlint
lint:
	@files=$$(gofmt -l $$($(GO) list -tags integration,matrix,aws,torture -f '{{.Dir}}' ./...)); test -z "$$files" || { echo "gofmt -w $$files" >&2; exit 1; }
	$(GO) vet -tags integration,matrix,aws,torture ./...
	$(TOOL) staticcheck -tags integration,matrix,aws,torture ./...
	$(TOOL) actionlint .github/workflows/*.yml
	@tools/govulncheck.sh

# make fuzz     run each fuzz test for a minute
fuzz:
	$(GO) test -run '^$$' -fuzz '^FuzzCheck$$' -fuzztime 1m ./internal/jsonscan
	$(GO) test -run '^$$' -fuzz '^FuzzAppendQuote$$' -fuzztime 1m ./internal/jsonscan
	$(GO) test -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime 1m ./internal/sqsclient
	$(GO) test -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime 1m ./internal/sqsevent
	$(GO) test -run '^$$' -fuzz '^FuzzTranslate$$' -fuzztime 1m ./handler
	$(GO) test -run '^$$' -fuzz '^FuzzSources$$' -fuzztime 1m ./handler
	$(GO) test -run '^$$' -fuzz '^FuzzLoad$$' -fuzztime 1m ./config
	$(GO) test -run '^$$' -fuzz '^FuzzReplies$$' -fuzztime 1m ./sidekiq

# make bench    run the Go benchmarks, and measure the daemon from SQS to Redis; with TLS=1, what TLS costs
bench: scout
ifdef TLS
	$(GO) run ./internal/cmd/bench -tls
else
	$(GO) test -tags integration -run '^$$' -bench . ./internal/jsonscan ./sidekiq ./handler ./cmd/lambda
	$(GO) run ./internal/cmd/bench -baseline
	$(GO) run ./internal/cmd/bench -latency 10ms
	$(GO) run ./internal/cmd/bench -rate 50 -duration 20s -rounds 1
endif

# make release VERSION=v2.0.0   build archives, .deb, .rpm, SBOMs and checksums into dist
release:
	@$(GO) run ./internal/cmd/release $(VERSION)

# make invoke EVENT=events/poison.json   run the Lambda function on an event, without AWS and Docker
EVENT ?= events/one-topic.json
invoke: # without GOOS, because the function runs on this machine
	$(BUILD) -tags lambda.norpc -ldflags '-s -w' -o bin/function ./cmd/lambda
	$(GO) run ./internal/cmd/invoke -function bin/function -event "$(EVENT)" $(if $(CONFIG),-config "$(CONFIG)")

# make deploy APP=shop STAGE=staging   create or update that stack, with these two commands; see docs/deploy.md
deploy: env = $(or $(APP),$(error APP is missing; use make deploy APP=shop STAGE=staging))-$(or $(STAGE),$(error STAGE is missing; use make deploy APP=shop STAGE=staging))
deploy:
	@grep -q '^\[$(env)\.' samconfig.toml || { echo "samconfig.toml has no environment $(env); see docs/deploy.md" >&2; exit 1; }
	@$(SAM) --version | awk '{split($$NF, v, "."); if (v[1] < 1 || v[1] == 1 && v[2] < 160) {print $$0 " is too old for the template: install 1.160 or newer" >"/dev/stderr"; exit 1}}'
	$(SAM) build --config-env $(env)
	$(SAM) deploy --config-env $(env)

# sam build runs this target through lambda/ARCHITECTURE/Makefile. The file release has a
# checksum of each part of the stack, so SAM publishes a version for a changed parameter,
# too. LC_ALL sets the order of its lines.
build-ScoutFunction: export LC_ALL = C
build-ScoutFunction:
	GOARCH=$(or $(GOARCH),arm64) $(BUILD_LAMBDA) -o "$(ARTIFACTS_DIR)/bootstrap" ./cmd/lambda
	cksum template.yaml samconfig.toml deploy/*.yaml >"$(ARTIFACTS_DIR)/release"

# make clean    remove everything that was built or installed into this folder
clean:
	rm -rf bin dist .deps .aws-sam
