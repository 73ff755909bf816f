;; A whole playbook by hand, in WebAssembly text: it hands its input to `fs/list` and gives back
;; {"hello": what fs/list answered}. The contract it keeps is in wit/playbook.wit and wit/types.wit.
;;
;; A component model string crosses the border as two numbers: where its UTF-8 bytes lie in memory, and how many
;; they are. JSON is such a string.
(component

  ;; --- What it may reach. This is all: an import that is not here cannot be called. ---

  ;; `flow` has seven functions. Import the ones you use, nothing more.
  (import "reprise:playbook/flow@0.1.0" (instance $flow
    (export "step" (func (param "id" string)))))

  ;; A tool is an interface with one function, call: func(input: json) -> result<json, tool-error>.
  ;; The types stand in wit/types.wit; a record or enum gets its name by being exported.
  (import "tool:fs/list" (instance $list
    (type $kind-shape (enum "invalid-input" "denied" "not-found" "conflict" "unavailable" "timeout" "broken" "failed" "cancelled"))
    (export "error-kind" (type $kind (eq $kind-shape)))
    (type $error-shape (record (field "kind" $kind) (field "message" string) (field "detail" (option string))))
    (export "tool-error" (type $error (eq $error-shape)))
    (export "call" (func (param "input" string) (result (result string (error $error)))))))

  ;; --- Memory. It stands in a module of its own, since the imports below need it before the code does. ---

  (core module $memory-code
    ;; 48 pages of 64 KiB. A value from a tool has at most 1 MiB, and this playbook holds three: input, answer, output.
    (memory (export "memory") 48)
    ;; Where the next free byte is. What stands below 1024 is laid out by hand, further down.
    (global $next (mut i32) (i32.const 1024))
    ;; The host asks for room here before it writes a string: (old place, old size, alignment, new size) -> place.
    ;; Nothing is ever given back: the instance lives for one run.
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $place i32)
      ;; Round up to a multiple of 8, which suits any alignment the host asks for.
      (local.set $place (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $place) (local.get 3)))
      (local.get $place)))
  (core instance $memory (instantiate $memory-code))

  ;; --- The imports, as functions over plain numbers. ---

  ;; step(place, length)
  (core func $step (canon lower (func $flow "step") (memory (core memory $memory "memory"))))
  ;; call(place, length, where the result is to be written)
  (core func $call (canon lower (func $list "call") (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))

  ;; --- The code. ---

  (core module $code
    (import "memory" "memory" (memory 1))
    (import "memory" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
    (import "host" "step" (func $step (param i32 i32)))
    (import "host" "call" (func $call (param i32 i32 i32)))

    ;; Bytes 0 to 3: the step's name. Bytes 16 to 24: the beginning of the output. The end is written in `run`.
    (data (i32.const 0) "look")
    (data (i32.const 16) "{\"hello\":")

    ;; Bytes 64 to 91, where `fs/list` puts its result:
    ;;   64  0 for an output, 1 for an error
    ;;   68  an output's place      | an error's kind
    ;;   72  an output's length     | its message's place
    ;;   76                         | its message's length
    ;;   80                         | 1 if it has a detail; 84 its place, 88 its length
    ;; Bytes 128 to 163, where `run` puts its own:
    ;;   128  0 for an output, 1 for a failure
    ;;   132  an output's place     | 1 if the failure names a step
    ;;   136  an output's length    | the step's place
    ;;   140                        | the step's length
    ;;   144                        | the message's place
    ;;   148                        | the message's length
    ;;   152                        | 1 if it has a detail; 156 its place, 160 its length
    ;; Memory begins as zeros, so what is not written is 0.

    ;; run(place and length of the input) -> where the result stands
    (func (export "run") (param $input i32) (param $length i32) (result i32)
      (local $output i32)
      ;; flow.step("look"): what follows belongs to this step, in the journal and in errors.
      (call $step (i32.const 0) (i32.const 4))
      ;; fs/list(input). The host checks the input against the tool's schema; nothing is parsed here.
      (call $call (local.get $input) (local.get $length) (i32.const 64))

      ;; An error: fail with the step's name and the tool's own message.
      (if (i32.load8_u (i32.const 64)) (then
        (i32.store8 (i32.const 128) (i32.const 1))
        (i32.store8 (i32.const 132) (i32.const 1))
        (i32.store (i32.const 136) (i32.const 0))
        (i32.store (i32.const 140) (i32.const 4))
        (i32.store (i32.const 144) (i32.load (i32.const 72)))
        (i32.store (i32.const 148) (i32.load (i32.const 76)))
        (return (i32.const 128))))

      ;; An output: room for {"hello": (9 bytes), the answer and } (1 byte).
      (local.set $output (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.add (i32.load (i32.const 72)) (i32.const 10))))
      ;; The nine bytes from 16,
      (memory.copy (local.get $output) (i32.const 16) (i32.const 9))
      ;; the answer behind them,
      (memory.copy (i32.add (local.get $output) (i32.const 9)) (i32.load (i32.const 68)) (i32.load (i32.const 72)))
      ;; and "}" (125 in ASCII) at the end.
      (i32.store8 (i32.add (i32.add (local.get $output) (i32.const 9)) (i32.load (i32.const 72))) (i32.const 125))
      ;; The result: an output, its place, its length.
      (i32.store (i32.const 132) (local.get $output))
      (i32.store (i32.const 136) (i32.add (i32.load (i32.const 72)) (i32.const 10)))
      (i32.const 128)))

  (core instance $main (instantiate $code
    (with "memory" (instance $memory))
    (with "host" (instance (export "step" (func $step)) (export "call" (func $call))))))

  ;; --- The export: run: func(input: json) -> result<json, failure>. ---

  (type $failure (record (field "step" (option string)) (field "message" string) (field "detail" (option string))))
  (func $run (param "input" string) (result (result string (error $failure)))
    (canon lift (core func $main "run") (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  ;; An exported function may only speak of types that are exported too. This inner component gives `failure` its name.
  (component $interface
    (type $failure-shape (record (field "step" (option string)) (field "message" string) (field "detail" (option string))))
    (import "failure" (type $failure-in (eq $failure-shape)))
    (import "run" (func $run-in (param "input" string) (result (result string (error $failure-in)))))
    (export $failure-out "failure" (type $failure-shape))
    (export "run" (func $run-in) (func (param "input" string) (result (result string (error $failure-out))))))
  (instance $playbook (instantiate $interface (with "failure" (type $failure)) (with "run" (func $run))))
  (export "reprise:playbook/playbook@0.1.0" (instance $playbook)))
