package devnet

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/rpcclient"
	"github.com/btcsuite/btcd/wire/v2"
)

// index follows the chain of a small regtest network. It is rebuilt whole when the chain was reorganised, which is cheap
// at this size.
type index struct {
	rpc *rpcclient.Client

	mu     sync.Mutex
	blocks []chainhash.Hash
	txs    map[chainhash.Hash]*indexed // of blocks
	pool   map[chainhash.Hash]*indexed
}

type indexed struct {
	msg    *wire.MsgTx
	height int64 // -1 in the mempool
	order  int   // in which it was seen
}

// view is the index at one moment. It is read by one request and never changed.
type view struct {
	blocks  []chainhash.Hash
	txsByID map[chainhash.Hash]*indexed
	spends  map[wire.OutPoint]*indexed
	scripts map[string][]*indexed // by script hash: what pays to it or spends from it
}

func newIndex(rpc *rpcclient.Client) *index {
	return &index{rpc: rpc, txs: map[chainhash.Hash]*indexed{}, pool: map[chainhash.Hash]*indexed{}}
}

func scriptHash(script []byte) string {
	sum := sha256.Sum256(script)
	return hex.EncodeToString(sum[:])
}

// current takes in new blocks and the mempool.
func (x *index) current() (*view, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	tip, err := x.rpc.GetBlockCount()
	if err != nil {
		return nil, fmt.Errorf("btcd: %w", err)
	}
	if last := int64(len(x.blocks)) - 1; last >= 0 {
		if hash, err := x.rpc.GetBlockHash(min(last, tip)); err != nil || last > tip || *hash != x.blocks[last] {
			x.blocks, x.txs = nil, map[chainhash.Hash]*indexed{}
		}
	}
	for h := int64(len(x.blocks)); h <= tip; h++ {
		if err := x.addBlock(h); err != nil {
			return nil, err
		}
	}
	if err := x.followPool(); err != nil {
		return nil, err
	}
	return x.view(), nil
}

func (x *index) addBlock(h int64) error {
	hash, err := x.rpc.GetBlockHash(h)
	if err != nil {
		return fmt.Errorf("btcd: %w", err)
	}
	block, err := x.rpc.GetBlock(hash)
	if err != nil {
		return fmt.Errorf("btcd: %w", err)
	}
	for _, tx := range block.Transactions {
		x.txs[tx.TxHash()] = &indexed{tx, h, len(x.txs)}
	}
	x.blocks = append(x.blocks, *hash)
	return nil
}

func (x *index) followPool() error {
	ids, err := x.rpc.GetRawMempool()
	if err != nil {
		return fmt.Errorf("btcd: %w", err)
	}
	next := map[chainhash.Hash]*indexed{}
	for i, id := range ids {
		if have := x.pool[*id]; have != nil {
			next[*id] = have
			continue
		}
		tx, err := x.rpc.GetRawTransaction(id)
		if err != nil {
			continue // mined or replaced in between; the next look finds it elsewhere or nowhere
		}
		next[*id] = &indexed{tx.MsgTx(), -1, len(x.txs) + i}
	}
	x.pool = next
	return nil
}

func (x *index) view() *view {
	v := &view{blocks: x.blocks, txsByID: map[chainhash.Hash]*indexed{}, spends: map[wire.OutPoint]*indexed{}, scripts: map[string][]*indexed{}}
	for _, set := range []map[chainhash.Hash]*indexed{x.txs, x.pool} {
		for id, tx := range set {
			if v.txsByID[id] == nil {
				v.txsByID[id] = tx
			}
		}
	}
	for _, tx := range v.txsByID {
		for _, in := range tx.msg.TxIn {
			v.spends[in.PreviousOutPoint] = tx
			if from := v.txsByID[in.PreviousOutPoint.Hash]; from != nil && int(in.PreviousOutPoint.Index) < len(from.msg.TxOut) {
				h := scriptHash(from.msg.TxOut[in.PreviousOutPoint.Index].PkScript)
				v.scripts[h] = append(v.scripts[h], tx)
			}
		}
		for _, out := range tx.msg.TxOut {
			h := scriptHash(out.PkScript)
			v.scripts[h] = append(v.scripts[h], tx)
		}
	}
	return v
}

func (v *view) height() int64 { return int64(len(v.blocks)) - 1 }

func (v *view) mempool() int {
	n := 0
	for _, tx := range v.txsByID {
		if tx.height < 0 {
			n++
		}
	}
	return n
}

func (v *view) txByText(id string) *indexed {
	hash, err := chainhash.NewHashFromStr(id)
	if err != nil {
		return nil
	}
	return v.txsByID[*hash]
}

type statusJSON struct {
	Confirmed bool   `json:"confirmed"`
	Height    int64  `json:"block_height,omitempty"`
	Hash      string `json:"block_hash,omitempty"`
}

func (v *view) statusOf(tx *indexed) statusJSON {
	if tx.height < 0 {
		return statusJSON{}
	}
	return statusJSON{true, tx.height, v.blocks[tx.height].String()}
}

func (v *view) status(id string) (statusJSON, error) {
	tx := v.txByText(id)
	if tx == nil {
		return statusJSON{}, nil // as Esplora does
	}
	return v.statusOf(tx), nil
}

func (v *view) raw(id string) ([]byte, error) {
	tx := v.txByText(id)
	if tx == nil {
		return nil, notFound{"transaction"}
	}
	var b bytes.Buffer
	err := tx.msg.Serialize(&b)
	return b.Bytes(), err
}

type outJSON struct {
	Script string `json:"scriptpubkey"`
	Value  int64  `json:"value"`
}

type inJSON struct {
	TxID     string   `json:"txid"`
	Vout     uint32   `json:"vout"`
	Sequence uint32   `json:"sequence"`
	Witness  []string `json:"witness"`
}

type txJSON struct {
	TxID     string     `json:"txid"`
	Version  int32      `json:"version"`
	LockTime uint32     `json:"locktime"`
	Size     int        `json:"size"`
	In       []inJSON   `json:"vin"`
	Out      []outJSON  `json:"vout"`
	Status   statusJSON `json:"status"`
}

func (v *view) txJSON(id string) (txJSON, error) {
	tx := v.txByText(id)
	if tx == nil {
		return txJSON{}, notFound{"transaction"}
	}
	return v.toJSON(tx), nil
}

func (v *view) toJSON(tx *indexed) txJSON {
	out := txJSON{TxID: tx.msg.TxHash().String(), Version: tx.msg.Version, LockTime: tx.msg.LockTime, Size: tx.msg.SerializeSize(), Status: v.statusOf(tx)}
	for _, in := range tx.msg.TxIn {
		j := inJSON{TxID: in.PreviousOutPoint.Hash.String(), Vout: in.PreviousOutPoint.Index, Sequence: in.Sequence}
		for _, w := range in.Witness {
			j.Witness = append(j.Witness, hex.EncodeToString(w))
		}
		out.In = append(out.In, j)
	}
	for _, o := range tx.msg.TxOut {
		out.Out = append(out.Out, outJSON{hex.EncodeToString(o.PkScript), o.Value})
	}
	return out
}

// of is the transactions of a script, each once.
func (v *view) of(hash string) []*indexed {
	var out []*indexed
	seen := map[*indexed]bool{}
	for _, tx := range v.scripts[hash] {
		if !seen[tx] {
			seen[tx] = true
			out = append(out, tx)
		}
	}
	return out
}

func (v *view) stats(hash string) map[string]any {
	chain, pool := 0, 0
	for _, tx := range v.of(hash) {
		if tx.height < 0 {
			pool++
		} else {
			chain++
		}
	}
	return map[string]any{"scripthash": hash, "chain_stats": map[string]int{"tx_count": chain}, "mempool_stats": map[string]int{"tx_count": pool}}
}

type utxoJSON struct {
	TxID   string     `json:"txid"`
	Vout   uint32     `json:"vout"`
	Value  int64      `json:"value"`
	Status statusJSON `json:"status"`
}

func (v *view) utxos(hash string) []utxoJSON {
	out := []utxoJSON{}
	for _, tx := range v.of(hash) {
		id := tx.msg.TxHash()
		for i, o := range tx.msg.TxOut {
			if _, spent := v.spends[wire.OutPoint{Hash: id, Index: uint32(i)}]; !spent && scriptHash(o.PkScript) == hash {
				out = append(out, utxoJSON{id.String(), uint32(i), o.Value, v.statusOf(tx)})
			}
		}
	}
	return out
}

func (v *view) txs(hash string) ([]txJSON, error) {
	out := []txJSON{}
	for _, tx := range v.of(hash) {
		out = append(out, v.toJSON(tx))
	}
	return out, nil
}
