package devnet

import (
	"encoding/json"
	"io"
	"net/http"
)

// Bounds of what the tap gives at a time.
const (
	maxTapSats   = 10_0000_0000
	maxTapBlocks = 100
	maxTapBody   = 1 << 10 // bytes of a request
)

// tap serves the faucet and the miner beside the gateway, for people who try things out: coins of regtest are worth nothing.
func (d *Devnet) tap(esplora http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", esplora)
	mux.HandleFunc("POST /devnet/faucet", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Address string `json:"address"`
			Sats    int64  `json:"sats"`
		}
		if !readTap(w, r, &q) {
			return
		}
		if q.Sats <= 0 || q.Sats > maxTapSats {
			http.Error(w, "sats must be above zero and at most ten bitcoin", http.StatusBadRequest)
			return
		}
		txid, err := d.Faucet.Pay(r.Context(), q.Address, q.Sats)
		if err == nil {
			err = d.Mine(r.Context(), 1)
		}
		writeTap(w, map[string]string{"txid": txid}, err)
	})
	mux.HandleFunc("POST /devnet/mine", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Blocks uint32 `json:"blocks"`
		}
		if !readTap(w, r, &q) {
			return
		}
		if q.Blocks == 0 || q.Blocks > maxTapBlocks {
			http.Error(w, "blocks must be 1 to 100", http.StatusBadRequest)
			return
		}
		writeTap(w, map[string]uint32{"mined": q.Blocks}, d.Mine(r.Context(), q.Blocks))
	})
	return mux
}

func readTap(w http.ResponseWriter, r *http.Request, into any) bool {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxTapBody))
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		http.Error(w, "request is not the JSON that is expected", http.StatusBadRequest)
	}
	return err == nil
}

func writeTap(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}
