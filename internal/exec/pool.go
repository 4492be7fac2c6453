package exec

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"chancery.dev/internal/intent"
	"chancery.dev/internal/keystore"
	"chancery.dev/internal/transcript"
	"chancery.dev/tss"
	"chancery.dev/tss/cggmp24"
)

// PresignatureID names a presignature; every signer of it has it under the same name.
type PresignatureID [32]byte

// String is lower-case hex.
func (id PresignatureID) String() string { return hex.EncodeToString(id[:]) }

// Stock is how many presignatures this node holds that it shares with a set of signers.
type Stock struct {
	Signers []tss.PartyID
	IDs     []PresignatureID
}

// poolName is "1.2.3.4/id": the set is in the name, so that a set's presignatures are found without opening any.
func poolName(signers []tss.PartyID, id PresignatureID) string {
	parts := make([]string, len(signers))
	for i, s := range signers {
		parts[i] = strconv.Itoa(int(s))
	}
	return strings.Join(parts, ".") + "/" + id.String()
}

func parsePoolName(name string) (set string, id PresignatureID, ok bool) {
	set, text, found := strings.Cut(name, "/")
	raw, err := hex.DecodeString(text)
	if !found || err != nil || len(raw) != len(id) {
		return "", id, false
	}
	return set, PresignatureID(raw), true
}

// Pool is this node's stock of presignatures of a key in this epoch, by set of signers.
func (x *Executor) Pool(key intent.KeyID) ([]Stock, error) {
	refs, err := x.Vault.List(keystore.KindPresignature, key)
	if err != nil {
		return nil, failed("pool", err)
	}
	at := map[string]int{}
	var out []Stock
	for _, r := range refs {
		set, id, ok := parsePoolName(r.Name)
		if !ok || r.Epoch != x.Epoch {
			continue
		}
		i, known := at[set]
		if !known {
			i = len(out)
			at[set] = i
			out = append(out, Stock{})
			for _, part := range strings.Split(set, ".") {
				n, err := strconv.ParseUint(part, 10, 16)
				if err != nil {
					return nil, failed("pool", err)
				}
				out[i].Signers = append(out[i].Signers, tss.PartyID(n))
			}
		}
		out[i].IDs = append(out[i].IDs, id)
	}
	return out, nil
}

// StockOf is the stock that is shared with exactly these signers.
func (x *Executor) StockOf(key intent.KeyID, signers []tss.PartyID) ([]PresignatureID, error) {
	pool, err := x.Pool(key)
	if err != nil {
		return nil, err
	}
	for _, s := range pool {
		if poolName(s.Signers, PresignatureID{}) == poolName(signers, PresignatureID{}) {
			return s.IDs, nil
		}
	}
	return nil, nil
}

// Presign makes presignatures with a set of signers, one after the other, and stores each. All signers call it with the same
// label. done is told after each. A presignature signs nothing by itself: that takes a permit on every signer.
func (x *Executor) Presign(ctx context.Context, key intent.KeyID, signers []tss.PartyID, label [32]byte, count int, done func(made int)) error {
	if count < 1 || count > MaxPresign {
		return &Error{Code: CodeRejected, Step: "presign", Err: fmt.Errorf("a run makes 1 to %d presignatures", MaxPresign)}
	}
	x.mu.Lock()
	loaded, err := x.load(key)
	x.mu.Unlock()
	if err != nil {
		return err
	}
	k, ok := loaded.(ecdsaKey)
	if !ok {
		return &Error{Code: CodeRejected, Step: "presign", Err: errors.New("only ECDSA keys have presignatures")}
	}
	stock, err := x.StockOf(key, signers)
	if err != nil {
		return err
	}
	if len(stock)+count > MaxPool {
		return &Error{Code: CodeBusy, Step: "presign", Err: fmt.Errorf("a set's pool holds at most %d presignatures", MaxPool)}
	}
	for i := range count {
		t := transcript.New("chancery/presign-label/v1")
		t.Bytes("label", label[:])
		t.Uint64("index", uint64(i))
		session, err := x.open(ctx, OpenTimeout, t.Sum(), intent.ID{}, key, "presign", cggmp24.Suite, k.Threshold(), signers)
		if err != nil {
			return err
		}
		machine, err := cggmp24.NewPresign(session, k.KeyShare, k.aux, x.Notary)
		if err != nil {
			return failed("presign", err)
		}
		p, err := Drive(ctx, x.Sessions, "presign", session.ID(), machine)
		if err != nil {
			return err
		}
		err = x.put(x.ref(keystore.KindPresignature, key, poolName(signers, p.ID())), p.Marshal())
		p.Close()
		if err != nil {
			return err
		}
		if done != nil {
			done(i + 1)
		}
	}
	return nil
}

// fromPool takes a presignature, once and for good, before anything is done with it.
func (x *Executor) fromPool(k ecdsaKey, key intent.KeyID, signers []tss.PartyID, id PresignatureID) (*cggmp24.Presignature, error) {
	stored, err := x.Vault.Take(x.ref(keystore.KindPresignature, key, poolName(signers, id)))
	if err != nil {
		return nil, &Error{Code: CodeNoPresignature, Step: "sign", Retry: true, Err: err}
	}
	defer stored.Erase()
	p, err := cggmp24.UnmarshalPresignature(k.Public(), stored.Reveal())
	if err != nil {
		return nil, failed("sign", err)
	}
	return p, nil
}
