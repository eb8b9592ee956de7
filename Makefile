# Needs Go and a C compiler (for race); generate also needs protoc 3.21.12, which
# is Debian's.
GO       ?= go
FUZZTIME ?= 30s
BENCH    ?= .
DURATION ?= 10m
MEMBERS  ?= 3
POINTS   ?= all
NET      ?= $(if $(filter 0,$(shell id -u)),namespaces,proxy)
SEEDS    ?= 1000
FROM     ?= 1
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BUILT    ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
TOOLS    := $(CURDIR)/bin/tools

.PHONY: release build test gofail failpoints debian browser race sim lint fuzz chaos bench generate clean

build: ## the programs, into bin/
	$(GO) build -o bin/ ./cmd/...

test: ## everything that needs nothing but Go
	$(GO) vet ./...
	$(GO) test -p 4 -timeout 10m ./...

gofail: ## the programs with failpoints that work, into bin/gofail/
	$(GO) run ./internal/testkit/gofail bin/gofail etcd etcdctl

failpoints: ## a crash and a delay at each of POINTS (names with commas between, or all), under load
	BOWLINE_FAILPOINTS=$(POINTS) $(GO) test -timeout 60m -v -run Failpoint ./tests/failpoints

debian: ## Debian's etcdctl and etcd 3.4, from PATH, against our server; its openssl and busybox
	$(GO) vet -tags debian ./tests/compat ./tests/security ./tests/deploy
	$(GO) test -tags debian -run Debian ./tests/compat ./tests/security ./tests/deploy

browser: ## the console in Chromium, from PATH; pictures go into BOWLINE_SCREENSHOTS
	$(GO) vet -tags browser ./tests/console
	$(GO) test -tags browser -count=1 -timeout 10m ./tests/console

race: ## the packages with goroutines, and a server built with the detector under the client's tests
	$(GO) test -race -short -p 3 -timeout 10m ./internal/... ./tests/compat ./tests/conformance

sim: ## SEEDS seeds of the simulated cluster, from the seed FROM on
	BOWLINE_SEEDS=$(SEEDS) BOWLINE_FROM=$(FROM) $(GO) test ./internal/sim -run TestSeeds -count 1 -timeout 0 -v

lint: ## the house rules
	$(GO) vet ./...
	$(GO) test ./internal/lint

fuzz: ## each fuzz target for FUZZTIME
	@grep -rHoE --include='*_test.go' '^func Fuzz\w+' . | sed 's/func //' | while IFS=: read -r file target; do \
		echo "$$file $$target" && \
		$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null || exit 1; \
	done

chaos: ## real processes under faults for DURATION; as root in network namespaces, which need iproute2
	@[ $(NET) = proxy ] || { command -v ip && command -v tc; } >/dev/null || apt-get install -y iproute2
	BOWLINE_CHAOS=$(DURATION) BOWLINE_CHAOS_NET=$(NET) BOWLINE_CHAOS_MEMBERS=$(MEMBERS) $(GO) test ./tests/chaos -run 'TestChaos$$' -count=1 -timeout 48h -v

bench: ## benchmarks whose names match BENCH
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./internal/...

generate: ## the Go code of our .proto files
	GOBIN=$(TOOLS) $(GO) install google.golang.org/protobuf/cmd/protoc-gen-go
	GOBIN=$(TOOLS) $(GO) install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.0
	GOBIN=$(TOOLS) $(GO) install github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway@v2.30.0
	cd internal/rpc && PATH=$(TOOLS):$$PATH protoc -I . -I protoinclude \
		--go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative \
		--grpc-gateway_out=. --grpc-gateway_opt=paths=source_relative,grpc_api_configuration=gateway.yaml \
		lockpb/lock.proto electionpb/election.proto

release: ## archives of the programs for each PLATFORMS, with checksums, into bin/release/
	@rm -rf bin/release && mkdir -p bin/release
	@for p in $(PLATFORMS); do \
		name=bowline-$(VERSION)-$${p%/*}-$${p#*/} && dir=bin/release/$$name && mkdir -p $$dir && echo $$name && \
		CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -trimpath -ldflags '-s -w' -o $$dir/ ./cmd/... && \
		cp -r README.md README.ko.md docs etcd.conf.yml.sample deploy $$dir/ && \
		tar -C bin/release --sort=name --owner=0 --group=0 --numeric-owner --mtime=@$(BUILT) -czf $$dir.tar.gz $$name && rm -r $$dir || exit 1; \
	done
	@cd bin/release && sha256sum *.tar.gz > SHA256SUMS && cat SHA256SUMS

clean:
	rm -rf bin
