package devnet

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/rpcclient"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// gateway answers Esplora's HTTP API from btcd's RPC, through an index that follows blocks and mempool.
type gateway struct {
	index *index
	rpc   *rpcclient.Client
}

// maxPost bounds a transaction that is handed in, in hex digits.
const maxPost = 2 * 400_000

func newGateway(rpc *rpcclient.Client) http.Handler {
	g := &gateway{index: newIndex(rpc), rpc: rpc}
	mux := http.NewServeMux()
	handle := func(pattern string, f func(v *view, r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { g.answer(w, r, f) })
	}
	handle("GET /blocks/tip/height", func(v *view, _ *http.Request) (any, error) { return strconv.FormatInt(v.height(), 10), nil })
	handle("GET /blocks/tip/hash", func(v *view, _ *http.Request) (any, error) { return v.blocks[v.height()].String(), nil })
	handle("GET /block-height/{height}", blockAt)
	handle("GET /fee-estimates", func(*view, *http.Request) (any, error) {
		return map[string]float64{"1": 5, "3": 3, "6": 2, "144": 1}, nil
	})
	handle("GET /mempool", func(v *view, _ *http.Request) (any, error) { return map[string]int{"count": v.mempool()}, nil })
	handle("GET /tx/{txid}", func(v *view, r *http.Request) (any, error) { return v.txJSON(r.PathValue("txid")) })
	handle("GET /tx/{txid}/raw", func(v *view, r *http.Request) (any, error) { return v.raw(r.PathValue("txid")) })
	handle("GET /tx/{txid}/hex", func(v *view, r *http.Request) (any, error) {
		raw, err := v.raw(r.PathValue("txid"))
		return hex.EncodeToString(raw), err
	})
	handle("GET /tx/{txid}/status", func(v *view, r *http.Request) (any, error) { return v.status(r.PathValue("txid")) })
	handle("GET /tx/{txid}/outspend/{vout}", outspend)
	handle("GET /scripthash/{hash}", func(v *view, r *http.Request) (any, error) { return v.stats(r.PathValue("hash")), nil })
	handle("GET /scripthash/{hash}/utxo", func(v *view, r *http.Request) (any, error) { return v.utxos(r.PathValue("hash")), nil })
	handle("GET /scripthash/{hash}/txs", func(v *view, r *http.Request) (any, error) { return v.txs(r.PathValue("hash")) })
	handle("GET /address/{address}", byAddress(func(v *view, h string) (any, error) { return v.stats(h), nil }))
	handle("GET /address/{address}/utxo", byAddress(func(v *view, h string) (any, error) { return v.utxos(h), nil }))
	handle("GET /address/{address}/txs", byAddress(func(v *view, h string) (any, error) { return v.txs(h) }))
	mux.HandleFunc("POST /tx", g.post)
	return mux
}

// notFound is an answer of 404.
type notFound struct{ what string }

func (n notFound) Error() string { return n.what + " not found" }

// answer brings the index up to date and writes text, bytes or JSON.
func (g *gateway) answer(w http.ResponseWriter, r *http.Request, f func(v *view, r *http.Request) (any, error)) {
	v, err := g.index.current()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	out, err := f(v, r)
	switch out := out.(type) {
	case string:
		if err == nil {
			_, _ = io.WriteString(w, out) // the client may be gone
			return
		}
	case []byte:
		if err == nil {
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write(out)
			return
		}
	}
	if err != nil {
		code := http.StatusBadRequest
		if _, missing := err.(notFound); missing {
			code = http.StatusNotFound
		}
		http.Error(w, err.Error(), code)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

func (g *gateway) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPost+1))
	if err != nil || len(body) > maxPost {
		http.Error(w, "transaction is too large", http.StatusBadRequest)
		return
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(body)))
	var tx wire.MsgTx
	if err == nil {
		err = tx.Deserialize(bytes.NewReader(raw))
	}
	if err != nil {
		http.Error(w, "transaction is malformed", http.StatusBadRequest)
		return
	}
	hash, err := g.rpc.SendRawTransaction(&tx, false)
	if err != nil {
		http.Error(w, fmt.Sprintf("sendrawtransaction RPC error: %v", err), http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, hash.String())
}

func blockAt(v *view, r *http.Request) (any, error) {
	h, err := strconv.ParseInt(r.PathValue("height"), 10, 64)
	if err != nil || h < 0 || h > v.height() {
		return nil, notFound{"block"}
	}
	return v.blocks[h].String(), nil
}

func outspend(v *view, r *http.Request) (any, error) {
	vout, err := strconv.ParseUint(r.PathValue("vout"), 10, 32)
	tx := v.txByText(r.PathValue("txid"))
	if err != nil || tx == nil {
		return nil, notFound{"output"}
	}
	spender, spent := v.spends[wire.OutPoint{Hash: tx.msg.TxHash(), Index: uint32(vout)}]
	if !spent {
		return map[string]any{"spent": false}, nil
	}
	return map[string]any{"spent": true, "txid": spender.msg.TxHash().String(), "status": v.statusOf(spender)}, nil
}

func byAddress(f func(v *view, hash string) (any, error)) func(*view, *http.Request) (any, error) {
	return func(v *view, r *http.Request) (any, error) {
		a, err := address.DecodeAddress(r.PathValue("address"), regtest)
		if err != nil {
			return nil, fmt.Errorf("invalid address: %w", err)
		}
		if !a.IsForNet(regtest) {
			return nil, errors.New("invalid address: it is of another network")
		}
		script, err := txscript.PayToAddrScript(a)
		if err != nil {
			return nil, err
		}
		return f(v, scriptHash(script))
	}
}
