;; A component that knows nothing of Reprise: two functions behind an interface of its own.
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    ;; The quotient, or the text "division by zero".
    (func (export "divide") (param i32 i32) (result i32)
      (if (i32.eqz (local.get 1))
        (then
          (i32.store (i32.const 0) (i32.const 1))
          (i32.store (i32.const 4) (i32.const 16))
          (i32.store (i32.const 8) (i32.const 16)))
        (else
          (i32.store (i32.const 0) (i32.const 0))
          (i32.store (i32.const 4) (i32.div_u (local.get 0) (local.get 1)))))
      i32.const 0)
    (data (i32.const 16) "division by zero"))
  (core instance $i (instantiate $m))
  (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
  (func $divide (param "a" u32) (param "b" u32) (result (result u32 (error string)))
    (canon lift (core func $i "divide") (memory $i "memory")))
  (instance $math (export "add" (func $add)) (export "divide" (func $divide)))
  (export "docs:adder/math@0.1.0" (instance $math)))
