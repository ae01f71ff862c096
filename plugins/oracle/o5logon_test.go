package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"strconv"
)

// secret is the password of the login that the stand-in knows.
const secret = "tiger"

// Types of what a server keeps of a password.
const (
	verifier11g = 6949  // SHA-1, with a salt
	verifier12c = 18453 // PBKDF2 with SHA-512
)

// capability tells clients how to log in.
func (d *dialogue) capability() byte {
	if d.standIn.large {
		return 2 | 32 // session keys are mixed with PBKDF2
	}
	return 2
}

// challenge begins the login (O5LOGON): a session key that only the hash of the password, salted,
// decrypts.
func (d *dialogue) challenge() message {
	salt := random(10)
	d.session = random(48)
	if !d.standIn.large {
		hash := sha1.Sum(append([]byte(secret), salt...))
		d.key = append(hash[:], 0, 0, 0, 0)
		m := message{ttcParameter}.number(2).setting("AUTH_SESSKEY", d.sealedKey(), 0)
		return m.setting("AUTH_VFR_DATA", fmt.Sprintf("%X", salt), verifier11g).end(0, "")
	}
	salt, d.session, d.mix = random(16), random(32), random(16)
	rounds := d.rounds
	if rounds == "" {
		rounds = "4096"
	}
	// Who asks for too many rounds does not do them.
	if n, _ := strconv.Atoi(rounds); n < 1_000_000 {
		speedy := derive(secret, append(bytes.Clone(salt), "AUTH_PBKDF2_SPEEDY_KEY"...), n)
		hash := sha512.Sum512(append(speedy, salt...))
		d.key = hash[:32]
	} else {
		d.key = random(32)
	}
	m := message{ttcParameter}.number(5).setting("AUTH_SESSKEY", d.sealedKey(), 0)
	m = m.setting("AUTH_VFR_DATA", fmt.Sprintf("%X", salt), verifier12c)
	m = m.setting("AUTH_PBKDF2_CSK_SALT", fmt.Sprintf("%X", d.mix), 0)
	m = m.setting("AUTH_PBKDF2_VGEN_COUNT", rounds, 0)
	return m.setting("AUTH_PBKDF2_SDER_COUNT", "3", 0).end(0, "")
}

func random(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.Read(p) // never fails
	return p
}

func derive(password string, salt []byte, rounds int) []byte {
	p, err := pbkdf2.Key(sha512.New, password, salt, rounds, 64)
	if err != nil {
		panic(err) // none of these lengths is refused
	}
	return p
}

// sealedKey is the server's session key, encrypted.
func (d *dialogue) sealedKey() string {
	sealed := bytes.Clone(d.session)
	block, _ := aes.NewCipher(d.key) // 24 or 32 bytes fit
	cipher.NewCBCEncrypter(block, make([]byte, 16)).CryptBlocks(sealed, sealed)
	return fmt.Sprintf("%X", sealed)
}

// judge decides on a login.
func (d *dialogue) judge(m []byte) error {
	if !d.knows(m) {
		return d.fail(1017, "ORA-01017: invalid username/password; logon denied\n")
	}
	return d.send(tnsData, data(message{ttcParameter}.number(2).
		setting("AUTH_SESSION_ID", "31", 0).setting("AUTH_SERIAL_NUM", "415", 0).end(0, "")))
}

// knows says whether a login has the right name and password. The password is encrypted with what
// both session keys make.
func (d *dialogue) knows(m []byte) bool {
	client, password := settingOf(m, "AUTH_SESSKEY"), settingOf(m, "AUTH_PASSWORD")
	if len(client) != len(d.session) || len(password) < 32 || !bytes.Contains(m, message{}.text(d.login)) {
		return false
	}
	open(d.key, client)
	open(d.mixed(client), password)
	pad := int(password[len(password)-1])
	return pad <= 16 && string(password[16:len(password)-pad]) == secret
}

// mixed is the key that both session keys make.
func (d *dialogue) mixed(client []byte) []byte {
	if d.standIn.large {
		return derive(fmt.Sprintf("%X%X", client, d.session), d.mix, 3)[:32]
	}
	mixed := make([]byte, 24)
	for i := range mixed {
		mixed[i] = d.session[16+i] ^ client[16+i]
	}
	first, second := md5.Sum(mixed[:16]), md5.Sum(mixed[16:])
	return append(first[:], second[:8]...)
}

// open decrypts in place.
func open(key, sealed []byte) {
	block, _ := aes.NewCipher(key) // 24 or 32 bytes fit
	cipher.NewCBCDecrypter(block, make([]byte, 16)).CryptBlocks(sealed, sealed)
}

// settingOf is the value of a setting that is in hexadecimal digits.
func settingOf(m []byte, name string) []byte {
	_, rest, _ := bytes.Cut(m, []byte(name))
	if len(rest) < 3 {
		return nil
	}
	rest = rest[1+rest[0]:] // its length
	p, _ := hex.DecodeString(string(rest[1:][:rest[0]]))
	return p
}
