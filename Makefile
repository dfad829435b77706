# make demo   see Scout work, with nothing but Go
# make test   install what the tests need, and run them all
# make help   the rest

GO       ?= go
BIN      ?= bin
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null)
BUILD     = CGO_ENABLED=0 $(GO) build -trimpath
TOOL      = $(GO) tool -modfile=tools/go.mod
SAM      ?= $(or $(wildcard .deps/sam/bin/sam),sam)

# What Lambda runs needs neither net/rpc nor a symbol table, and is the same
# bytes whatever the commit.
BUILD_LAMBDA = GOOS=linux $(BUILD) -buildvcs=false -tags lambda.norpc -ldflags '-s -w'

.PHONY: help demo build scout bootstrap deps test lint fuzz bench aws-test release invoke deploy build-ScoutFunction clean

help:
	@sed -n 's/^# make/make/p' Makefile

demo: scout
	bin/scout dev --demo --once

# make build    bin/scout and, for Lambda, bin/bootstrap
build: scout bootstrap

scout:
	$(BUILD) -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN)/scout ./cmd/local

bootstrap:
	$(BUILD_LAMBDA) -o bin/bootstrap ./cmd/lambda

# make deps     what the tests need: Redis, Sidekiq, moto, Prometheus
deps:
	@tools/deps.sh

# Many tests wait more than they work.
test: deps
	$(GO) test -race -count 1 -parallel 6 -tags integration ./...

# make aws-test the tests that need an AWS account; see CONTRIBUTING.md
aws-test:
	$(GO) test -tags aws -run TestOnAWS -count 1 -v ./cmd/local

# make lint     gofmt, vet, staticcheck, govulncheck
lint:
	@files=$$(gofmt -l cmd config events handler internal packaging sidekiq); test -z "$$files" || { echo "gofmt -w $$files" >&2; exit 1; }
	$(GO) vet -tags integration ./...
	$(TOOL) staticcheck -tags integration ./...
	@tools/govulncheck.sh

# make fuzz     a minute for each fuzz test
fuzz:
	$(GO) test -run '^$$' -fuzz '^FuzzCheck$$' -fuzztime 1m ./internal/jsonscan
	$(GO) test -run '^$$' -fuzz '^FuzzAppendQuote$$' -fuzztime 1m ./internal/jsonscan
	$(GO) test -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime 1m ./internal/sqsclient
	$(GO) test -run '^$$' -fuzz '^FuzzTranslate$$' -fuzztime 1m ./handler
	$(GO) test -run '^$$' -fuzz '^FuzzLoad$$' -fuzztime 1m ./config

# make bench    Go benchmarks, and what the daemon moves from SQS to Redis
bench: scout
	$(GO) test -tags integration -run '^$$' -bench . ./internal/jsonscan ./sidekiq ./handler ./cmd/lambda
	$(GO) run ./internal/cmd/bench -baseline
	$(GO) run ./internal/cmd/bench -latency 10ms
	$(GO) run ./internal/cmd/bench -rate 50 -duration 20s -rounds 1

# make release VERSION=v2.0.0   archives, .deb, .rpm, SBOMs and checksums, in dist
release:
	@$(GO) run ./internal/cmd/release $(VERSION)

# make invoke EVENT=events/poison.json   run the Lambda function on an event, without AWS and docker
EVENT ?= events/one-topic.json
invoke: # with no GOOS, for it runs here
	$(BUILD) -tags lambda.norpc -ldflags '-s -w' -o bin/function ./cmd/lambda
	$(GO) run ./internal/cmd/invoke -function bin/function -event $(EVENT) $(if $(CONFIG),-config $(CONFIG))

# make deploy APP=shop STAGE=staging   create or update that stack; see docs/deploy.md
deploy: answers = deploy/$(APP)-$(STAGE).yaml
deploy: architecture = $(or $(shell sed -n 's/^Architecture: *//p' $(answers) 2>/dev/null),arm64)
deploy:
	@test -f $(answers) || { echo "there is no $(answers); see docs/deploy.md" >&2; exit 2; }
	ARCHITECTURE=$(architecture) $(SAM) build
	$(SAM) deploy --config-env $(APP)-$(STAGE) --parameter-overrides file://$(answers) Architecture=$(architecture) \
	  Release=$$(cat .aws-sam/build/ScoutFunction/bootstrap template.yaml $(answers) | git hash-object --stdin)

# What sam build calls. It does not pass on the parameter Architecture.
build-ScoutFunction:
	GOARCH=$(or $(subst x86_64,amd64,$(ARCHITECTURE)),arm64) $(BUILD_LAMBDA) -o $(ARTIFACTS_DIR)/bootstrap ./cmd/lambda

# make clean    remove what was built and installed into this folder
clean:
	rm -rf bin dist .deps .aws-sam
