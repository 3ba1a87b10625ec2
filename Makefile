# The verbs. They need nothing but Go; lint, interop, up and bench fetch their pinned tools
# into ./.tools, which git ignores.

export CGO_ENABLED = 0

BIN      := bin/icewright
TOOLS    := $(CURDIR)/.tools
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS  := -s -w $(if $(VERSION),-X main.version=$(VERSION))

GOLANGCI := $(TOOLS)/golangci-lint-v2.15.0
VULN     := $(TOOLS)/govulncheck-v1.9.0
FUZZTIME ?= 20s

.PHONY: help build run test race check fmt lint vuln docs guarantees interop bench fuzz up down clean

help: ## list the verbs
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Without grpc's trace pages, which nobody sees here, the linker can leave out what nobody
# calls: a fifth of the binary.
TAGS     := grpcnotrace

build: ## bin/icewright, one static binary, and bin/icewright-full, which has the heavy catalogs too
	go build -tags $(TAGS) -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/icewright
	go build -tags $(TAGS),full -ldflags '$(LDFLAGS)' -o $(BIN)-full ./cmd/icewright

run: build ## load the sample data twice into a table in ./demo, and show it
	@rm -rf demo && mkdir demo
	@cd demo && for try in 1 2; do \
	  echo '$$ icewright load examples/flights --table air.flights --partition-by "day(departed_at)"' && \
	  ../$(BIN) load ../examples/flights --table air.flights --partition-by 'day(departed_at)' && echo || exit; \
	done
	@cd demo && echo '$$ icewright show air.flights --limit 5' && ../$(BIN) show air.flights --limit 5 && echo
	@cd demo && echo '$$ icewright history air.flights' && ../$(BIN) history air.flights

test: ## every test that needs nothing but Go
	go test -timeout 20m ./...
	go test -tags full -run 'Glue|Heavy|Hive' ./catalog
	go test -tags full -run TestScripts/usage ./cmd/icewright

race: ## the same with the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race ./...

check: lint build vuln ## what CI checks besides the tests
	@size=$$(wc -c <$(BIN)) && echo "$(BIN): $$size bytes" && test $$size -lt 75000000
	go vet ./...
	go vet -tags full ./catalog ./cmd/icewright
	go vet -tags interop,full ./interop

lint: $(GOLANGCI) ## golangci-lint: gofumpt's format, and the floor plan's import rules
	$(GOLANGCI) run ./...

# The database of vulnerabilities is on the network (GOVULNDB says where). Where it cannot be had, that
# is told, and the rest goes on; what it knows of, and the code calls, is an error.
vuln: $(VULN) ## govulncheck: known vulnerabilities that the code calls
	@out=$$($(VULN) $(if $(GOVULNDB),-db $(GOVULNDB)) -tags $(TAGS),full ./... 2>&1) || case "$$out" in \
	  *"fetching vulnerabilities"*) echo "govulncheck: its database cannot be reached, so nothing was checked: $$out" ;; \
	  *) echo "$$out"; exit 1 ;; esac

fmt: $(GOLANGCI) ## write the files as lint wants them
	$(GOLANGCI) fmt ./...

docs: ## write what docs/ has from the code anew
	go test ./internal/tally ./cmd/icewright ./job ./catalog ./arrowconv ./derive ./source ./interop ./bench -run 'TestManual|TestDocs' -args -rewrite

guarantees: ## docs/guarantees.md: count again what the guarantees survived, servers included
	go test -p 1 -count=1 -tags interop,full -timeout 45m $$(dirname $(COUNTING) | sort -u) \
	  -run '^('$$(awk '/^func Test/ {f = $$2; sub(/\(.*/, "", f)} /tally\.Of\(/ {print f}' $(COUNTING) | paste -sd '|')')$$' -args -rewrite

# The tests that count their cases (internal/tally).
COUNTING  = $$(grep -rl --include='*_test.go' 'tally\.Of(' .)

interop: ## against S3 servers, REST catalogs, PyIceberg, DuckDB, Spark and Trino
	go test -tags interop,full -count=1 -timeout 45m ./interop/...

# BENCH='-run lineitem-84' measures that case only; `go run ./bench -h` lists what there is.
bench: ## docs/benchmarks.md: measured beside DuckDB, PyIceberg, Spark and iceberg-go
	go run ./bench $(BENCH)

fuzz: ## every fuzz target for FUZZTIME (default 20s)
	@set -e; for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for target in $$(grep -h '^func Fuzz' $$dir/*_test.go | sed -E 's/func (Fuzz[A-Za-z0-9_]*).*/\1/'); do \
	    echo "$$dir $$target"; go test $$dir -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME); \
	  done; done

# STACK='--s3 minio --catalog nessie' starts those two instead, '--engine trino' Trino as well.
up: ## start the local stack without Docker: an S3 server and a REST catalog
	go run ./localstack up $(STACK)

down: ## stop the local stack
	go run ./localstack down

clean: ## remove what the verbs made
	rm -rf bin demo .tools

$(GOLANGCI):
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv $(TOOLS)/golangci-lint $@

$(VULN):
	GOBIN=$(TOOLS) go install golang.org/x/vuln/cmd/govulncheck@v1.9.0
	mv $(TOOLS)/govulncheck $@
