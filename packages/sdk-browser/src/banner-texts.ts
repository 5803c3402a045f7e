/** What the banner says by itself, where the notice says nothing else. */
export interface BannerWords {
  accept: string;
  refuse: string;
  /** Opens the second layer. */
  choose: string;
  save: string;
  /** Opens the banner again, on pages without a link of their own. */
  open: string;
  /** At advertising, where the browser sends Global Privacy Control: it is heeded, and has to be seen to be. */
  gpc: string;
}

type Words = [accept: string, refuse: string, choose: string, save: string, open: string, gpc: string];

const words: { readonly [language: string]: Words } = {
  en: ["Accept", "Refuse", "Choose", "Save my choice", "Privacy choices", "Off: your browser asked for that."],
  nl: ["Accepteren", "Weigeren", "Kiezen", "Keuze bewaren", "Privacykeuzes", "Uit: daar vroeg je browser om."],
  de: ["Zustimmen", "Ablehnen", "Auswählen", "Auswahl speichern", "Datenschutz-Auswahl", "Aus: Ihr Browser bat darum."],
  fr: [
    "Accepter",
    "Refuser",
    "Choisir",
    "Enregistrer",
    "Choix de confidentialité",
    "Non : demandé par votre navigateur.",
  ],
  es: ["Aceptar", "Rechazar", "Elegir", "Guardar", "Opciones de privacidad", "No: lo pidió su navegador."],
};

/** English where we do not speak the language: the notice can bring its own. */
export const wordsOf = (language: string): BannerWords => {
  const [accept, refuse, choose, save, open, gpc] = words[language.slice(0, 2)] ?? words.en!;
  return { accept, refuse, choose, save, open, gpc };
};
