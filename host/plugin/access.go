package plugin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// explainDenial adds to a "permission denied" of the kernel, which names no culprit, who lacks which
// right on which file or directory. Other errors pass unchanged.
func explainDenial(cmd *exec.Cmd, err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	if attr := cmd.SysProcAttr; attr != nil && attr.Credential != nil {
		uid, gid = attr.Credential.Uid, attr.Credential.Gid
	}
	for _, path := range []string{cmd.Path, cmd.Dir} {
		if why := denial(path, uid, gid); why != "" {
			return fmt.Errorf("%w: %s", err, why)
		}
	}
	if mountedNoexec(cmd.Path) {
		return fmt.Errorf("%w: its file system is mounted noexec", err)
	}
	return err
}

// denial walks path, and says at which of its components the user is stopped who has this number and
// this one group: directories must be entered, and the last component executed or entered, which
// is the same bit. Empty: at none that the modes tell of.
func denial(path string, uid, gid uint32) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil || !filepath.IsAbs(real) || uid == 0 {
		return ""
	}
	at := "/"
	for _, name := range append([]string{""}, strings.Split(real[1:], "/")...) {
		at = filepath.Join(at, name)
		info, err := os.Stat(at)
		if err != nil {
			return ""
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || mayPass(st, uid, gid) {
			continue
		}
		verb := "execute"
		if info.IsDir() {
			verb = "enter"
		}
		return fmt.Sprintf("user %s cannot %s %s (mode %04o)", userName(uid), verb, at, info.Mode().Perm())
	}
	return ""
}

// mayPass is the kernel's rule for the execute bit (path_resolution(7)): the first class that
// the user belongs to decides.
func mayPass(st *syscall.Stat_t, uid, gid uint32) bool {
	switch {
	case st.Uid == uid:
		return st.Mode&0o100 != 0
	case st.Gid == gid:
		return st.Mode&0o010 != 0
	default:
		return st.Mode&0o001 != 0
	}
}

func userName(uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(number); err == nil {
		return u.Username
	}
	return number
}

func mountedNoexec(path string) bool {
	const noexec = 8 // ST_NOEXEC of statvfs(3)
	var st syscall.Statfs_t
	return syscall.Statfs(path, &st) == nil && st.Flags&noexec != 0
}
