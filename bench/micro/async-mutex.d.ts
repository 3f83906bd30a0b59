/** The part of async-mutex that is used here, so that the types can be checked without the package. */
declare module 'async-mutex' {
  export class Mutex {
    acquire(): Promise<() => void>;
    cancel(): void;
  }
}
