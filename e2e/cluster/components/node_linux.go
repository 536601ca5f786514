package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func init() {
	// A process that must end with its parent is told so when the parent's thread ends: all that start others stay on
	// the main thread, which lives as long as the process.
	runtime.LockOSThread()
	components["kubelet"] = command(func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) })
	components["kube-proxy"] = command(proxy.NewProxyCommand)
	components["node"] = node
	components["node-init"] = nodeInit
}

// endWithParent makes the kernel end this process when the test that started it is gone, even if it was killed.
func endWithParent() {
	parent := os.Getppid()
	must(unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0))
	if os.Getppid() != parent {
		os.Exit(1)
	}
}

// nodeConfig is what a node is made of.
type nodeConfig struct {
	Hostname string
	// PidFile gets the process id of the node's first process.
	PidFile string
	// Writable is a directory that takes what the node's processes write below /var.
	Writable string
	// Outside are the commands that connect the node to the machine's network; {pid} is the node's first process.
	Outside [][]string
	// Inside are the commands that set up the node's own network.
	Inside    [][]string
	Processes []nodeProcess
}

type nodeProcess struct {
	Name        string
	Command     []string
	Environment map[string]string
	Log         string
}

// node makes a machine of its own in everything but the kernel: network, mounts, processes, host name. When its first
// process ends, the kernel ends all others and removes its mounts, interfaces and rules.
func node() {
	config := readConfig(os.Args[1])
	ready, release, err := os.Pipe()
	must(err)
	first := exec.Command("/proc/self/exe", "node-init", os.Args[1])
	first.Stdin = ready
	first.Stdout, first.Stderr = os.Stdout, os.Stderr
	first.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	must(first.Start())
	pid := strconv.Itoa(first.Process.Pid)
	for _, command := range config.Outside {
		run(command, strings.NewReplacer("{pid}", pid))
	}
	must(os.WriteFile(config.PidFile, []byte(pid), 0o644))
	must(release.Close())
	must(first.Wait())
}

// nodeInit is the first process of a node.
func nodeInit() {
	_, err := io.ReadAll(os.Stdin)
	must(err)
	config := readConfig(os.Args[1])
	must(syscall.Sethostname([]byte(config.Hostname)))
	mountAll(config.Writable)
	for _, command := range config.Inside {
		run(command, strings.NewReplacer())
	}
	ending := make(chan os.Signal, 1)
	signal.Notify(ending, syscall.SIGTERM)
	go func() {
		<-ending
		os.Exit(0)
	}()
	keepRunning(config.Processes)
}

func mountAll(writable string) {
	must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	// volumes that a pod mounts reach its other containers by shared mounts
	must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""))
	must(unix.Mount("proc", "/proc", "proc", 0, ""))
	must(unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"))
	upper, work := writable+"/upper", writable+"/work"
	must(os.MkdirAll(upper, 0o755))
	must(os.MkdirAll(work, 0o755))
	must(unix.Mount("overlay", "/var", "overlay", 0, "lowerdir=/var,upperdir="+upper+",workdir="+work))
}

// keepRunning starts the processes, starts each again that ends, and reaps whatever else ends: orphans are ours.
func keepRunning(processes []nodeProcess) {
	running := map[int]nodeProcess{}
	restart := make(chan nodeProcess, len(processes))
	for _, process := range processes {
		running[start(process)] = process
	}
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if err == nil && pid > 0 {
			if process, ours := running[pid]; ours {
				delete(running, pid)
				time.AfterFunc(time.Second, func() { restart <- process })
			}
			continue
		}
		select {
		case process := <-restart:
			running[start(process)] = process
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func start(process nodeProcess) int {
	log, err := os.OpenFile(process.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	must(err)
	defer log.Close()
	input, err := os.Open(os.DevNull)
	must(err)
	defer input.Close()
	path, err := exec.LookPath(process.Command[0])
	must(err)
	environment := os.Environ()
	for name, value := range process.Environment {
		environment = append(environment, name+"="+value)
	}
	child, err := os.StartProcess(path, process.Command, &os.ProcAttr{
		Env:   environment,
		Files: []*os.File{input, log, log},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	must(err)
	return child.Pid
}

func readConfig(path string) nodeConfig {
	contents, err := os.ReadFile(path)
	must(err)
	var config nodeConfig
	must(json.Unmarshal(contents, &config))
	return config
}

func run(command []string, placeholders *strings.Replacer) {
	arguments := make([]string, len(command))
	for index, argument := range command {
		arguments[index] = placeholders.Replace(argument)
	}
	if output, err := exec.Command(arguments[0], arguments[1:]...).CombinedOutput(); err != nil {
		fatal(fmt.Errorf("%s: %w\n%s", strings.Join(arguments, " "), err, output))
	}
}

func must(err error) {
	if err != nil {
		fatal(err)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
