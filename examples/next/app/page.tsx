export default function Home() {
  return <h1>Bulbs for heavy clay</h1>;
}
