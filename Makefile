# What a developer runs. `make test` is what CI runs.
GO      ?= go
BIN     := bin
DEMO    := .chancery/demo
KILL    ?=
PROTOCOL ?= frost
FUZZTIME ?= 60s
# Packages whose goroutines share memory: they run under the race detector, which needs cgo (a C compiler). The ECDSA key of the
# real size is left out: minutes of arithmetic that shares nothing.
RACE    := ./internal/keystore ./internal/mesh ./internal/exec ./internal/node ./internal/devnet ./internal/httpapi ./internal/cli \
           ./internal/records/... ./internal/permit ./internal/pki ./internal/wallet/... ./tss

.PHONY: build demo up test vet lint race bench bench-frost bench-cggmp24 interop fuzz clean

build:
	$(GO) build -o $(BIN)/ ./cmd/...
	$(GO) build -o $(BIN)/btcd github.com/btcsuite/btcd
	$(GO) build -o $(BIN)/demo ./test/demo

# A payment from end to end, by five processes on a real Bitcoin node. KILL=1 kills one of the five before it;
# PROTOCOL=cggmp24 makes an ECDSA key, which takes every node its safe primes.
demo: build
	$(BIN)/demo -dir $(DEMO) -bin $(BIN) -protocol $(PROTOCOL) $(if $(KILL),-kill)

# The same cluster, left running until it is interrupted.
up: build
	$(BIN)/chanceryd up

test: vet
	CGO_ENABLED=0 $(GO) build ./...
	$(GO) test -count=1 ./...
	$(MAKE) race

race:
	CGO_ENABLED=1 $(GO) test -race -count=1 -p 1 -skip '^TestECDSAKey$$' $(RACE)

vet:
	$(GO) vet ./...
	$(GO) vet -tags interop ./test/... ./tss/...

lint: vet
	$(GO) tool staticcheck ./...

# Ours beside the peers, in turns on one core: FROST in two minutes, CGGMP24 in ten. Needs Rust, and m4 for GMP.
bench: bench-frost bench-cggmp24

bench-frost:
	$(GO) build -o $(BIN)/bench ./bench
	$(BIN)/bench -suite frost

bench-cggmp24:
	$(GO) build -o $(BIN)/bench ./bench
	$(BIN)/bench -suite cggmp24 -turns 1 -runs 1

# Ours together with the ZF FROST crates. Needs Rust.
interop:
	$(GO) test -tags interop -count=1 -v ./test/interop/...

# Every fuzz target, one after the other, FUZZTIME each.
fuzz:
	@$(GO) list ./... | while read -r p; do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
	  done; \
	done

clean:
	rm -rf $(BIN) .chancery bench/peers/target bench/peers-cggmp24/target test/interop/zf/target
